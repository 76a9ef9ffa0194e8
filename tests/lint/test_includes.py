"""Who may include whom (docs/architecture.md draws the picture).

A folder includes itself and the folders it stands on, never one above it, so
that every part can be read, tested and replaced without those that use it.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

BASE = {"server/base"}
OCI = BASE | {"server/oci"}
CONFIG = OCI | {"server/config"}
UPSTREAM = CONFIG | {"server/upstream"}
INTERFACES = {"backends/object_store.h", "backends/metadata_store.h", "backends/coordination.h"}
CLUSTER = UPSTREAM | {"backends/coordination.h", "server/cluster"}
CONTENT = OCI | INTERFACES | {"server/content"}
MAINTENANCE = CONTENT | {"server/maintenance"}
CACHE = CLUSTER | CONTENT | {"server/cache"}
REGISTRY = CACHE | {"server/registry"}
HTTP = REGISTRY | {"server/http"}

# Folder (or file) -> what it may include: folders, or single headers.
RULES = {
    "server/base": BASE,
    "server/oci": OCI,
    "server/config": CONFIG,
    "server/upstream": UPSTREAM,
    "server/cluster": CLUSTER,
    "server/content": CONTENT,
    "server/maintenance": MAINTENANCE,
    "server/cache": CACHE,
    "server/registry": REGISTRY,
    "server/http": HTTP,
    "server/cli": UPSTREAM | MAINTENANCE | {"server/cli", "server/http"},
    "backends": BASE | INTERFACES,
    "backends/decorators": BASE | INTERFACES | {"backends/decorators"},
    "backends/fs": BASE | INTERFACES | {"backends/fs"},
    "backends/mem": BASE | INTERFACES | {"backends/mem"},
    "backends/redis": BASE | INTERFACES | {"backends/redis"},
    "backends/s3": BASE | INTERFACES | {"backends/s3"},
    "backends/s3/libs3": BASE | INTERFACES | {"backends/s3", "backends/s3/libs3"},
    "backends/sqlite": BASE | INTERFACES | {"backends/sqlite"},
}
# What puts everything together; only stores.c names concrete backends.
ANYTHING = {"server/main.c", "server/stores.c", "server/stores.h"}

CIVETWEB = {"civetweb.h", "civetweb.c"}
CIVETWEB_GLUE = "server/http/civetweb_glue.c"

SOURCES = sorted(str(path.relative_to(ROOT)) for folder in ("server", "backends", "auth")
                 for path in (ROOT / folder).rglob("*.[ch]"))


def folder_of(path):
    return str(Path(path).parent)


def includes_of(text):
    return re.findall(r'^[ \t]*#[ \t]*include[ \t]*["<]([^">]+)[">]', text, re.MULTILINE)


def quoted_includes_of(text):
    return re.findall(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', text, re.MULTILINE)


def forbidden(path, text):
    """The includes of the file at path that the rules forbid, each with the reason."""
    found = []
    for header in includes_of(text):
        if header.rpartition("/")[2] in CIVETWEB and path != CIVETWEB_GLUE:
            found.append(f"{header}: only {CIVETWEB_GLUE} knows civetweb")
    if path in ANYTHING:
        return found
    allowed = RULES.get(folder_of(path))
    for header in quoted_includes_of(text):
        if header.rpartition("/")[2] in CIVETWEB:
            continue
        if "/" not in header:
            found.append(f"{header}: written from the root of the repository, please")
        elif re.search(r"_(private|internal)\.h$", header) and folder_of(header) != folder_of(path):
            found.append(f"{header}: is for the files of {folder_of(header)} alone")
        elif allowed is None:
            found.append(f"{header}: no rule for the folder {folder_of(path)}; add one to RULES")
        elif header not in allowed and folder_of(header) not in allowed:
            found.append(f"{header}: {folder_of(path)} may not include {folder_of(header)}")
    return found


def test_there_are_sources():
    assert len(SOURCES) > 20


@pytest.mark.parametrize("path", SOURCES)
def test_includes_only_what_its_folder_stands_on(path):
    assert forbidden(path, (ROOT / path).read_text()) == []


@pytest.mark.parametrize("path", SOURCES)
def test_what_is_included_exists(path):
    for header in quoted_includes_of((ROOT / path).read_text()):
        if header.rpartition("/")[2] not in CIVETWEB:
            assert (ROOT / header).is_file(), f"{path} includes {header}"


@pytest.mark.parametrize("path, line", [
    ("server/base/buf.c", '#include "server/http/router.h"'),
    ("server/upstream/client.c", '#include "server/cache/fill.h"'),
    ("server/cache/fill.c", '#include "server/registry/registry.h"'),
    ("server/registry/blobs.c", '#include "backends/fs/fs_store.h"'),
    ("backends/sqlite/sqlite_store.c", '#include "backends/fs/fs_store.h"'),
    ("backends/mem/mem_object_store.c", '#include "server/oci/digest.h"'),
    ("server/http/router.c", "#include <civetweb.h>"),
    ("server/base/buf.c", '  #  include "server/oci/name.h"'),
    ("server/base/buf.c", '#include "buf.h"'),
    ("server/maintenance/gc.c", '#include "server/content/content_private.h"'),
    ("server/new/thing.c", '#include "server/base/buf.h"'),
])
def test_the_rules_catch(path, line):
    assert len(forbidden(path, f"int x;\n{line}\n")) == 1


@pytest.mark.parametrize("path, line", [
    ("server/cache/fill.c", '#include "backends/object_store.h"'),
    ("server/http/civetweb_glue.c", '#include "civetweb.c"'),
    ("server/main.c", '#include "backends/fs/fs_store.h"'),
    ("server/base/buf.c", "#include <string.h>"),
])
def test_the_rules_let_through(path, line):
    assert forbidden(path, line) == []
