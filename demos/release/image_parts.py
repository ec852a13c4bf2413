"""The Debian packages in an image, as CycloneDX: image_parts.py IMAGE.tar LIST.json.

It needs the Python of `.ci/setup dev`. Each package has the licences that its copyright file names,
and its source package. What is packed in capadvise's own package is in debian.cdx.json.
"""

import json
import os
import re
import sys
import tarfile
from contextlib import contextmanager
from datetime import UTC, datetime
from email.parser import HeaderParser
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL


@contextmanager
def layer(image):
    """The only one of the image."""
    with tarfile.open(image) as archive:
        name = json.load(archive.extractfile("manifest.json"))[0]["Layers"][0]
        with tarfile.open(fileobj=archive.extractfile(name)) as files:
            yield files


def licences(files, package):
    """Of its copyright file: in Debian's format, or the texts that it refers to, or else the place
    of the file.

    Raises KeyError for a package without a copyright file, which Debian does not ship.
    """
    folder = f"./usr/share/doc/{package}"
    if (entry := files.getmember(folder)).issym():  # to that of another package of its source
        folder = f"./usr/share/doc/{entry.linkname}"
    text = files.extractfile(f"{folder}/copyright").read().decode()
    found = re.findall(r"^License: *(\S.*)$", text, re.MULTILINE)
    found = found or re.findall(r"common-licenses/([\w.-]*\w)", text)
    return sorted(set(found)) or [f"see {folder.removeprefix('.')}/copyright"]


def component(fields, files):
    """A package of dpkg's list."""
    name, version = fields["Package"], fields["Version"]
    upstream = fields.get("Source", name).split()[0]
    about = {"arch": fields["Architecture"], "upstream": upstream}
    where = PackageURL("deb", "debian", name, version, about)
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        licenses=[DisjunctiveLicense(name=one) for one in licences(files, name)],
        purl=where,
        bom_ref=str(where),  # else a random one
    )


def main(image, target):
    """Write the list."""
    with layer(image) as files:
        status = files.extractfile("./var/lib/dpkg/status").read().decode()
        packages = map(HeaderParser().parsestr, status.strip().split("\n\n"))
        parts = [component(fields, files) for fields in packages]
    when = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    subject = Component(name="capadvise", type=ComponentType.CONTAINER, bom_ref="image")
    identity = uuid5(NAMESPACE_URL, " ".join(str(part.purl) for part in parts))
    about = BomMetaData(component=subject, timestamp=when)
    bom = Bom(components=parts, metadata=about, serial_number=identity)
    Path(target).write_text(JsonV1Dot6(bom).output_as_string(indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
