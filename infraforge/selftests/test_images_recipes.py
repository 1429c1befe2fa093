"""The shipped recipes: pinned, from packages alone, not root, started directly."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from infraforge.images.catalogue import Catalogue, Image, files

TREE = Path(__file__).parents[2] / "platform"
CATALOGUE = Catalogue.load(TREE)
MADE_BY_DOCKER = [image for image in CATALOGUE.images.values() if not image.debootstrap]
USER = "10001:10001"


def instructions(image: Image) -> list[tuple[str, str]]:
    """Instruction and argument of each Dockerfile line, continuations joined, comments left out."""
    text = (CATALOGUE.recipe_dir(image) / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [
        (word.upper(), rest.strip())
        for word, _, rest in (line.strip().partition(" ") for line in joined.splitlines())
        if word
    ]


def last(image: Image, instruction: str) -> str:
    """The value in force at the end, inherited ones included; "" when there is none."""
    own = [value for word, value in instructions(image) if word == instruction]
    if own:
        return own[-1]
    base = CATALOGUE.images.get(image.base)
    return last(base, instruction) if base and not base.debootstrap else ""


@pytest.mark.parametrize("image", CATALOGUE.images.values(), ids=lambda image: image.name)
def test_every_ingredient_of_an_image_exists(image: Image) -> None:
    assert CATALOGUE.content_hash(image.name)
    for module in image.modules:
        assert (CATALOGUE.module_dir(module) / "module.toml").is_file()
    if image.python:
        assert (CATALOGUE.recipe_dir(image) / image.python).is_file()


@pytest.mark.parametrize("image", MADE_BY_DOCKER, ids=lambda image: image.name)
def test_an_image_starts_from_nothing_or_from_the_catalogue(image: Image) -> None:
    starts = [value.split()[0] for word, value in instructions(image) if word == "FROM"]
    assert starts
    assert set(starts) <= ({"${BASE}"} if image.base else {"scratch"})


@pytest.mark.parametrize("image", MADE_BY_DOCKER, ids=lambda image: image.name)
def test_application_images_do_not_run_as_root(image: Image) -> None:
    if image.system and not image.local:
        pytest.skip("the cluster's own parts get their user from their manifests")
    if image.name == "node":
        pytest.skip("a node runs an init system")
    assert last(image, "USER") == USER


@pytest.mark.parametrize("image", MADE_BY_DOCKER, ids=lambda image: image.name)
def test_programs_are_started_directly(image: Image) -> None:
    for word, value in instructions(image):
        if word in ("ENTRYPOINT", "CMD"):
            argv = json.loads(value)
            assert argv[0].startswith("/")
            assert not re.search(r"/(ba|da)?sh$", argv[0])


@pytest.mark.parametrize("image", MADE_BY_DOCKER, ids=lambda image: image.name)
def test_apt_lists_are_removed_in_the_layer_that_fetched_them(image: Image) -> None:
    """Of the last stage only: what earlier stages leave is in no image."""
    steps = instructions(image)
    start = max(at for at, (word, _) in enumerate(steps) if word == "FROM")
    for word, value in steps[start:]:
        if word == "RUN" and "apt-get update" in value:
            assert "rm -rf /var/lib/apt/lists/*" in value


@pytest.mark.parametrize("image", CATALOGUE.images.values(), ids=lambda image: image.name)
def test_no_recipe_names_a_host_or_a_floating_version(image: Image) -> None:
    for path in files(CATALOGUE.recipe_dir(image)):
        text = path.read_text()
        assert ":latest" not in text, path
        hosts = set(re.findall(r"https?://([\w.-]+\.[a-z]{2,})", text))
        assert not hosts, f"{path}: {hosts}"


@pytest.mark.parametrize("image", [i for i in MADE_BY_DOCKER if i.python], ids=lambda i: i.name)
def test_python_packages_are_pinned_and_hashed(image: Image) -> None:
    text = (CATALOGUE.recipe_dir(image) / image.python).read_text()
    wanted = [line for line in text.splitlines() if re.match(r"[a-z0-9]", line, re.IGNORECASE)]
    assert wanted
    for requirement in re.split(r"\n(?=[A-Za-z0-9])", text.strip()):
        if requirement[0] != "#":
            assert re.match(r"[\w.\[\]-]+==\S+", requirement), requirement
            assert "--hash=sha256:" in requirement, requirement


def test_static_programs_match_their_modules() -> None:
    """An image of one static program names a program that its module builds."""
    programs = [image for image in CATALOGUE.images.values() if image.program]
    assert programs
    for image in programs:
        [module] = image.modules
        text = (CATALOGUE.module_dir(module) / "module.toml").read_text()
        assert re.search(rf"^{re.escape(image.program)} = ", text, re.MULTILINE), image.name


def test_versions_are_those_that_kubernetes_expects() -> None:
    """kubeadm asks for its parts under the cluster's own version."""
    versions = {
        image.version for image in CATALOGUE.images.values() if image.modules == ("kubernetes",)
    }
    assert versions == {f"v{CATALOGUE['node'].version}"}
