# The image side: included by the list of unit tests, which defines stepcell_unit_test.
add_library(unit_image STATIC scratch.c tar.c)
target_link_libraries(unit_image PUBLIC base PkgConfig::CMOCKA)

stepcell_unit_test(test_reference image_core)
stepcell_unit_test(test_platform image_core)
stepcell_unit_test(test_challenge net)
stepcell_unit_test(test_fields net)
stepcell_unit_test(test_registry_config image_fetch)
stepcell_unit_test(test_manifest image_fetch)
stepcell_unit_test(test_signature image_fetch)
stepcell_unit_test(test_store image_fetch unit_image)
# Another inflater's other half: what zlib deflates, ISA-L has to inflate.
find_library(ZLIB z REQUIRED)
find_library(ZSTD_LIBRARY zstd REQUIRED)
stepcell_unit_test(test_unpack image_fetch unit_image ${ZLIB} ${ZSTD_LIBRARY})
stepcell_unit_test(test_inflate image_fetch ${ZLIB})
stepcell_unit_test(test_walls image_walls unit_image)

# Not a test: tests/bats/registry.bats asks faulty servers with it.
add_executable(registry-probe registry_probe.c)
target_link_libraries(registry-probe PRIVATE image_fetch)
set_target_properties(registry-probe PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
