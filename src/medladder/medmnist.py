"""MedMNIST by name: fetched once on demand, its checksum verified, kept in the user's cache.

Source: Yang et al. 2023, doi:10.1038/s41597-022-01721-8; files and checksums of release 2.1,
doi:10.5281/zenodo.6496656.
ChestMNIST is not listed: its 14 labels an image do not exclude each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .errors import CohortError, unknown_name

_RELEASE = "https://zenodo.org/records/6496656/files"
_ORGANS = (
    "bladder", "femur-left", "femur-right", "heart", "kidney-left", "kidney-right", "liver", "lung-left", "lung-right",
    "pancreas", "spleen",
)  # fmt: skip


@dataclass(frozen=True)
class Release:
    """One published file: MD5 of the npz and class names in label order."""

    name: str
    md5: str
    classes: tuple[str, ...]

    @property
    def file(self) -> str:
        """File name of the release."""
        return f"{self.name}.npz"


RELEASES = {
    release.name: release
    for release in (
        Release(
            "pathmnist",
            "a8b06965200029087d5bd730944a56c1",
            (
                "adipose",
                "background",
                "debris",
                "lymphocytes",
                "mucus",
                "smooth muscle",
                "normal colon mucosa",
                "cancer-associated stroma",
                "colorectal adenocarcinoma epithelium",
            ),
        ),
        Release(
            "dermamnist",
            "0744692d530f8e62ec473284d019b0c7",
            (
                "actinic keratoses and intraepithelial carcinoma",
                "basal cell carcinoma",
                "benign keratosis-like lesions",
                "dermatofibroma",
                "melanoma",
                "melanocytic nevi",
                "vascular lesions",
            ),
        ),
        Release(
            "octmnist",
            "c68d92d5b585d8d81f7112f81e2d0842",
            ("choroidal neovascularization", "diabetic macular edema", "drusen", "normal"),
        ),
        Release("pneumoniamnist", "28209eda62fecd6e6a2d98b1501bb15f", ("normal", "pneumonia")),
        Release(
            "retinamnist",
            "bd4c0672f1bba3e3a89f0e4e876791e4",
            ("grade 0", "grade 1", "grade 2", "grade 3", "grade 4"),
        ),
        Release("breastmnist", "750601b1f35ba3300ea97c75c52ff8f6", ("malignant", "normal or benign")),
        Release(
            "bloodmnist",
            "7053d0359d879ad8a5505303e11de1dc",
            (
                "basophil",
                "eosinophil",
                "erythroblast",
                "immature granulocyte",
                "lymphocyte",
                "monocyte",
                "neutrophil",
                "platelet",
            ),
        ),
        Release(
            "tissuemnist",
            "ebe78ee8b05294063de985d821c1c34b",
            (
                "collecting duct, connecting tubule",
                "distal convoluted tubule",
                "glomerular endothelial cells",
                "interstitial endothelial cells",
                "leukocytes",
                "podocytes",
                "proximal tubule segments",
                "thick ascending limb",
            ),
        ),
        Release("organamnist", "866b832ed4eeba67bfb9edee1d5544e6", _ORGANS),
        Release("organcmnist", "0afa5834fb105f7705a7d93372119a21", _ORGANS),
        Release("organsmnist", "e5c39f1af030238290b9557d9503af9d", _ORGANS),
        Release(
            "organmnist3d",
            "21f0a239e7f502e6eca33c3fc453c0b6",
            (
                "liver",
                "kidney-right",
                "kidney-left",
                "femur-right",
                "femur-left",
                "bladder",
                "heart",
                "lung-right",
                "lung-left",
                "spleen",
                "pancreas",
            ),
        ),
        Release("nodulemnist3d", "8755a7e9e05a4d9ce80a24c3e7a256f3", ("benign", "malignant")),
        Release("adrenalmnist3d", "bbd3c5a5576322bc4cdfea780653b1ce", ("normal", "hyperplasia")),
        Release(
            "fracturemnist3d",
            "6aa7b0143a6b42da40027a9dda61302f",
            ("buckle rib fracture", "nondisplaced rib fracture", "displaced rib fracture"),
        ),
        Release("vesselmnist3d", "2ba5b80617d705141f3f85627108fce8", ("vessel", "aneurysm")),
        Release("synapsemnist3d", "1235b78a3cd6280881dd7850a78eadb6", ("inhibitory synapse", "excitatory synapse")),
    )
}


def classes_of_file(stem: str) -> tuple[str, ...] | None:
    """Class names of a file that is called as a set is published, whatever its size; None for any other.

    Example
    -------
    >>> classes_of_file("pneumoniamnist_64"), classes_of_file("chest")
    (('normal', 'pneumonia'), None)
    """
    name, _, size = stem.partition("_")
    release = RELEASES.get(name)
    return None if release is None or not (size.isdecimal() or not size) else release.classes


def fetch(name: str, root: Path) -> tuple[Path, Release]:
    """The npz of one MedMNIST set, from the cache under `root` or else from its publisher.

    Raises
    ------
    OptionError
        No such set.
    CohortError
        It is not in the cache and cannot be fetched, or what came does not have the published checksum.
    """
    import pooch

    release = RELEASES.get(name)
    if release is None:
        raise unknown_name("MedMNIST set", name, RELEASES)
    folder = root / "medmnist"
    try:
        path = pooch.retrieve(
            url=f"{_RELEASE}/{release.file}",
            known_hash=f"md5:{release.md5}",
            fname=release.file,
            path=folder,
        )
    except Exception as error:  # requests' and pooch's own errors share no base
        raise CohortError(
            found=f"{release.file} is not in the cache and could not be fetched ({type(error).__name__}).",
            needed=f"A network, or the file itself with MD5 {release.md5}.",
            do=f"On a machine with a network get {_RELEASE}/{release.file} and put it into {folder}.",
        ) from error
    return Path(path), release
