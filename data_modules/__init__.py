"""One file per data set: its card, its reader, its demo twin; and the LightningDataModules.

The data module classes are made on first access (`data_modules.DeepLesionDataModule`), so that
commands which only need cards and readers load neither torch nor lightning.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data_modules.semihvision import SemiHVisionDataModule

SOURCE_CLASSES = {
    "DeepLesionDataModule": "deeplesion",
    "PadChestDataModule": "padchest",
    "EuroradDataModule": "eurorad",
    "MIMICCXRDataModule": "mimic_cxr",
    "LLDMMRIDataModule": "lld_mmri",
    "MAMAMIADataModule": "mama_mia",
    "PMCVQADataModule": "pmc_vqa",
    "PMCInstructDataModule": "pmc_instruct",
    "Quilt1MDataModule": "quilt_1m",
    "RadiopaediaDataModule": "radiopaedia",
    "JAMADataModule": "jama",
    "LLaVAMedDataModule": "llava_med",
    "PubMedVisionDataModule": "pubmedvision",
    "FolderDataModule": "folder",
    "VQARADDataModule": "vqa_rad",
    "SLAKEDataModule": "slake",
    "PathVQADataModule": "path_vqa",
}
"""Class name -> source name."""

__all__ = [  # noqa: PLE0604 -- the source classes are made from the table above
    "SemiHVisionDataModule",
    *SOURCE_CLASSES,
]


def __getattr__(name: str) -> Any:
    if name == "SemiHVisionDataModule":
        from data_modules.semihvision import SemiHVisionDataModule

        return SemiHVisionDataModule
    if name in SOURCE_CLASSES:
        from data_modules.source import SourceDataModule
        from semihvision.core.card import card

        source = SOURCE_CLASSES[name]
        made = type(
            name,
            (SourceDataModule,),
            {
                "source": source,
                "__module__": __name__,
                "__doc__": f"{card(source).title}, read from its owner's files below `root`.",
            },
        )
        globals()[name] = made
        return made
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
