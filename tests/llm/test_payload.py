import base64
import io
from collections.abc import Iterator

from chat_server import ChatServer
from llm_requests import SECRET, ask, request
from PIL import Image
from PIL.PngImagePlugin import PngInfo


def named_after_a_patient(image: Image.Image) -> Image.Image:
    """The image as read from a PNG that says a name everywhere a PNG can."""
    text = PngInfo()
    text.add_text("Comment", SECRET)
    text.add_itxt("XML:com.adobe.xmp", SECRET)
    exif = image.getexif()
    exif[0x010E] = SECRET
    file = io.BytesIO()
    image.save(file, "PNG", pnginfo=text, exif=exif, icc_profile=SECRET.encode(), dpi=(300, 300))
    read = Image.open(file)
    read.load()
    return read


def chunks_of(png: bytes) -> Iterator[str]:
    """Names of the chunks of a PNG file."""
    place = 8
    while place < len(png):
        length = int.from_bytes(png[place : place + 4])
        yield png[place + 4 : place + 8].decode()
        place += 12 + length


def test_images_arrive_as_pixels_without_metadata(chat_server: ChatServer) -> None:
    image = named_after_a_patient(Image.new("RGB", (5, 4), (10, 200, 30)))
    assert {"Comment", "icc_profile", "exif", "dpi"} <= set(image.info)
    ask(chat_server, request(images=(image, image.resize((2, 2)))))
    urls = chat_server.requests[0].image_urls
    assert len(urls) == 2
    data = base64.b64decode(urls[0].removeprefix("data:image/png;base64,"))
    assert SECRET.encode() not in data
    arrived = Image.open(io.BytesIO(data))
    assert (arrived.size, arrived.getpixel((0, 0))) == ((5, 4), (10, 200, 30))
    assert not arrived.info
    assert not arrived.getexif()
    assert set(chunks_of(data)) == {"IHDR", "IDAT", "IEND"}
