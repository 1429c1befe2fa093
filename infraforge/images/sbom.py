"""Write the software bill of materials of a built image: CycloneDX 1.6, as JSON.

The same build record gives the same bytes: the timestamp is that of the build, and the serial
number is derived from the content. A purl names each package, without the address of a registry.
Where the list has gaps, the composition is `incomplete` and the metadata name each gap.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType, Pedigree
from cyclonedx.model.lifecycle import LifecyclePhase, PredefinedLifecycle
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from infraforge import files, places
from infraforge.errors import UsageError
from infraforge.images.build import ImageRecord
from infraforge.images.contents import Contents, Kind, Part

_TOOL = "infraforge"
_IMAGE = "image"
"""The reference, inside the document, of the image itself."""
_SERIALS = uuid.UUID("6f0f7c6e-8a3b-5d52-9d0c-1a6a3d0c2f41")
"""The namespace of the serial numbers (RFC 9562, version 5)."""


def document(record: ImageRecord, known: Contents) -> str:
    """The bill of materials of one image, as JSON text."""
    image = Component(
        name=record.name,
        version=record.version,
        type=ComponentType.CONTAINER,
        bom_ref=_IMAGE,
        properties=[Property(name=f"{_TOOL}:content-hash", value=record.hash)],
    )
    bom = Bom(
        components=map(_component, known.parts),
        metadata=BomMetaData(
            component=image,
            timestamp=_built(record),
            lifecycles=[PredefinedLifecycle(LifecyclePhase.BUILD)],
            tools=ToolRepository(
                components=[Component(name=_TOOL, type=ComponentType.APPLICATION)]
            ),
            properties=[
                *(Property(name=f"{_TOOL}:unknown", value=gap) for gap in known.gaps),
                *(Property(name=f"{_TOOL}:note", value=note) for note in known.notes),
            ],
        ),
    )
    bom.register_dependency(image, bom.components)
    made: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    # the library has no model of compositions
    complete = "incomplete" if known.gaps else "complete"
    made["compositions"] = [{"aggregate": complete, "assemblies": [_IMAGE]}]
    del made["serialNumber"]  # the library's is random
    serial = uuid.uuid5(_SERIALS, json.dumps(made, sort_keys=True))
    made["serialNumber"] = serial.urn
    return json.dumps(made, indent=1, sort_keys=True) + "\n"


def write(made: Iterable[tuple[ImageRecord, Contents]], folder: Path) -> list[Path]:
    """Write `NAME-VERSION.cdx.json` for each image; creates the folder.

    Raises UsageError, before it writes anything, when a file exists that this function did not
    write.
    """
    texts = {
        folder / f"{record.name}-{record.version}.cdx.json": document(record, known)
        for record, known in made
    }
    for path in texts:
        places.refuse_foreign_file(path, "a bill of materials that infraforge wrote", _is_ours)
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        files.replace(path, text)
    return list(texts)


def _component(part: Part) -> Component:
    purl = _purl(part)
    return Component(
        name=part.name,
        version=part.version or None,
        type=ComponentType.LIBRARY if purl else ComponentType.APPLICATION,
        bom_ref=str(purl) if purl else f"source:{part.name}",
        purl=purl,
        pedigree=Pedigree(notes=part.patched) if part.patched else None,
    )


def _purl(part: Part) -> PackageURL | None:
    """The package's purl; None for a folder of this project."""
    if part.kind is Kind.SOURCE:
        return None
    if part.kind is Kind.DEBIAN:
        qualifiers = {"distro": part.suite} if part.suite else None
        return PackageURL(part.kind, "debian", part.name, part.version, qualifiers)
    namespace, _, name = part.name.rpartition("/")
    return PackageURL(part.kind, namespace or None, name, part.version)


def _built(record: ImageRecord) -> datetime:
    try:
        return datetime.strptime(record.built_at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise UsageError(
            f"the build record of {record.name} is damaged ({error}); make it anew: infraforge "
            f"images build {record.name}"
        ) from error


def _is_ours(path: Path) -> bool:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        tools = found["metadata"]["tools"]["components"]
        return found["bomFormat"] == "CycloneDX" and [tool["name"] for tool in tools] == [_TOOL]
    except (ValueError, LookupError, TypeError):
        return False
