"""Which names of files may be images; what the file really is, its reader finds out."""

from __future__ import annotations

import os

RASTER = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp", ".gif", ".webp"})

VOLUMES = frozenset({".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr"})

VOXELS = frozenset({".raw", ".zraw", ".raw.gz"})
"""Voxels that an .mhd or .nhdr beside them speaks for: no image by themselves."""

DICOM = frozenset({".dcm", ".dicom", ".ima"})

READABLE = "DICOM, NIfTI, MetaImage, NRRD, PNG, JPEG, TIFF, BMP, GIF or WebP files."
"""What medladder reads, as the end of a message says it."""

ENDINGS = RASTER | VOLUMES | DICOM
"""In lower case, as `ending_of` gives them."""


def ending_of(name: str) -> str:
    """The ending in lower case, both parts where the last is .gz; empty where there is none.

    Example
    -------
    >>> ending_of("IXI012.NII.GZ"), ending_of("scan 1.5 T.tif"), ending_of("DICOMDIR")
    ('.nii.gz', '.tif', '')
    """
    stem, last = os.path.splitext(name.lower())
    if last == ".gz":
        return os.path.splitext(stem)[1] + last
    return last if last != "." else ""


def is_volume_name(name: str) -> bool:
    """Whether a file name ends like a volume other than DICOM, which is told by its content."""
    return ending_of(name) in VOLUMES


def is_image_name(name: str) -> bool:
    """Whether a file of this name may be an image.

    DICOM often comes without an ending, or with a number for one, as in «IM.0001» and in UIDs: such files are asked
    themselves later. A DICOMDIR is an index of others, and what begins with a dot is hidden.

    Example
    -------
    >>> [is_image_name(name) for name in ("a.nii.gz", "I10", "1.2.840.10008", "DICOMDIR", "notes.txt", ".DS_Store")]
    [True, True, True, False, False, False]
    """
    if not name or name.startswith(".") or name.upper() == "DICOMDIR":
        return False
    last = ending_of(name)
    digits = last[1:]
    return last in ENDINGS or not last or (digits.isascii() and digits.isdigit())
