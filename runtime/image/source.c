#include "runtime/image/source.h"

struct source *source_open(const struct reference *reference, const struct platform *platform,
                           struct err *err)
{
    switch (reference->transport) {
    case TRANSPORT_REGISTRY:
        return registry_open(reference, err);
    case TRANSPORT_DOCKER_ARCHIVE:
        return docker_archive_open(reference, err);
    case TRANSPORT_OCI:
    case TRANSPORT_OCI_ARCHIVE:
        break;
    }
    return oci_layout_open(reference, platform, err);
}
