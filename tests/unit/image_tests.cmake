# The image side: included by the list of unit tests, which defines stepcell_unit_test.
add_library(unit_image STATIC scratch.c tar.c)
target_link_libraries(unit_image PUBLIC base PkgConfig::CMOCKA)

stepcell_unit_test(test_reference image_core)
stepcell_unit_test(test_platform image_core)
stepcell_unit_test(test_challenge net)
stepcell_unit_test(test_manifest image_fetch)
stepcell_unit_test(test_store image_fetch unit_image)
stepcell_unit_test(test_unpack image_fetch unit_image)
stepcell_unit_test(test_walls image_walls unit_image)
