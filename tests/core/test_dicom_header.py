"""DICOM headers: which of their words are recorded, and that no other leaves them."""

import logging
import warnings
from pathlib import Path
from threading import Event, Thread

import pytest
from dicom_files import dataset_of, probed, ramp
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from shown_images import facts

from semihvision.core.errors import InputError
from semihvision.core.images import probe_image, read_image
from semihvision.core.imaging.refusals import refusing

PLANTED = "Doe^Jane"


TEXT_VRS = {"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"}
NEEDED = {"PhotometricInterpretation", "PresentationLUTShape", "VOILUTFunction", "ImageType"}


def planted() -> Dataset:
    """The name in every text element of the dictionary, in private elements and in a sequence."""
    dataset = dataset_of(ramp(), WindowCenter=5, WindowWidth=20)
    dataset.add_new(0x00090010, "LO", PLANTED)
    dataset.add_new(0x00091001, "LO", PLANTED)
    dataset.add_new(0x00091002, "UN", PLANTED.encode())
    item = Dataset()
    item.PatientName = PLANTED
    dataset.RequestAttributesSequence = Sequence([item])
    for tag, (vr, *_) in DicomDictionary.items():
        keyword = keyword_for_tag(tag)
        # Groups 0-7 are for messages and file headers.
        if vr in TEXT_VRS and tag >> 16 > 7 and keyword and keyword not in NEEDED:
            dataset.add_new(tag, vr, PLANTED)
    return dataset


def test_no_text_of_a_header_travels(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom minds the name in coded elements
        dataset = planted()
        assert len([e for e in dataset if e.value == PLANTED]) > 1000
        dataset.save_as(tmp_path / "x.dcm", enforce_file_format=True)
        del dataset.PixelData
        dataset.save_as(tmp_path / "no_pixels.dcm", enforce_file_format=True)
        dataset = planted()
        dataset.PixelData = dataset.PixelData[:-2]
        dataset.save_as(tmp_path / "short.dcm", enforce_file_format=True)
    caplog.set_level(logging.DEBUG)
    caplog.clear()  # writing has warned, too
    capfd.readouterr()

    image = probe_image(tmp_path, "x.dcm", image_id="i")
    read_image(tmp_path, image)
    messages = []
    for name in ("no_pixels.dcm", "short.dcm"):
        with pytest.raises(InputError) as caught:
            probe_image(tmp_path, name, image_id="i")
        assert caught.value.__cause__ is None
        messages.append(str(caught.value))

    said = [image.model_dump_json(), *messages, caplog.text, *capfd.readouterr()]
    assert not [text for text in said if "Doe" in text or "Jane" in text]
    assert {fact.name for fact in image.reading} == {"photometric", "window"}


def test_a_thread_does_not_unmute_the_warnings_of_another() -> None:
    is_second_inside, is_first_outside = Event(), Event()

    def second() -> None:
        with refusing("x"):
            is_second_inside.set()
            is_first_outside.wait()
            warnings.warn(PLANTED, stacklevel=1)

    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        thread = Thread(target=second)
        with refusing("x"):
            thread.start()
            is_second_inside.wait(0.2)  # in vain: it must wait for the first to leave
        is_first_outside.set()
        thread.join()

    assert not shown


def test_the_listed_words_are_kept(tmp_path: Path) -> None:
    image = probed(
        tmp_path,
        ramp(),
        BodyPartExamined="CHEST",
        ViewPosition="PA",
        ImageLaterality="L",
        WindowCenter=5,
        WindowWidth=20,
        PatientName=PLANTED,
    )

    assert image.view == "PA"
    assert facts(image) == {
        "Modality": "CT",
        "BodyPartExamined": "CHEST",
        "ImageLaterality": "L",
        "photometric": "MONOCHROME2",
        "window": "header, 1 of 1",
    }
