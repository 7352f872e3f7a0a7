"""read_image: every kind of picture, the box; what cannot be read."""
import os
from unittest import mock

import helpers
import matplotlib.cbook
import numpy as np
from PIL import Image, features

import EmotionDetectorUtils

LIMIT = Image.MAX_IMAGE_PIXELS  # before any test
PHOTOGRAPH = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)


def orientation(value):
    """EXIF metadata with an orientation; 6 is to be shown turned by 90 degrees clockwise."""
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


SAVES = {
    "jpeg": lambda photograph: photograph.save("p.jpg", quality=98),
    "png": lambda photograph: photograph.save("p.png"),
    "rgba": lambda photograph: photograph.convert("RGBA").save("p.png"),
    "grey": lambda photograph: photograph.convert("L").save("p.png"),
    "grey16": lambda photograph: Image.fromarray(
        np.asarray(photograph.convert("L")).astype(np.uint16) * 257).save("p.png"),
    "palette": lambda photograph: photograph.quantize(256).save("p.png"),
    "gif": lambda photograph: photograph.quantize(256).save(
        "p.gif", save_all=True, append_images=[Image.new("P", photograph.size)]),
    "bmp": lambda photograph: photograph.save("p.bmp"),
    "webp": lambda photograph: photograph.save("p.webp", quality=95),
    "tiff": lambda photograph: photograph.save("p.tiff"),
    "cmyk": lambda photograph: photograph.convert("CMYK").save("p.jpg", quality=98),
    "turned": lambda photograph: photograph.transpose(Image.Transpose.ROTATE_90).save(
        "p.jpg", quality=98, exif=orientation(6)),
    "damaged EXIF": lambda photograph: photograph.save("p.jpg", quality=98, exif=b"Exif\0\0no TIFF file"),
    "orientation 9": lambda photograph: photograph.save("p.jpg", quality=98, exif=orientation(9)),
    "orientation text": lambda photograph: photograph.save("p.jpg", quality=98, exif=b"Exif\0\0II*\0\x08\0\0\0"
        b"\1\0\x12\1\2\0\3\0\0\0up\0\0\0\0\0\0"),
}
if features.check("avif"):
    SAVES["avif"] = lambda photograph: photograph.save("p.avif", quality=95)


class ReadImageTest(helpers.TestCase):

    read = staticmethod(EmotionDetectorUtils.read_image)

    def test_a_face_of_the_data_gives_its_own_values(self):
        _, pixels = helpers.faces(3)
        images = EmotionDetectorUtils.to_images(pixels)
        for name, expected in zip(helpers.write_pictures(pixels), images):
            np.testing.assert_array_equal(expected, self.read(name))
            Image.open(name).convert("RGB").save("colour.png")
            np.testing.assert_array_equal(expected, self.read("colour.png"))

    @helpers.parameterized.parameters(*SAVES)
    def test_kinds_of_files_give_the_same_image(self, kind):
        with Image.open(PHOTOGRAPH) as photograph:
            photograph.load()
        photograph.save("exact.png")
        SAVES[kind](photograph)
        path = next(name for name in os.listdir(".") if name.startswith("p."))
        image = self.read(path)
        self.assertEqual(((48, 48, 1), np.float32), (image.shape, image.dtype))
        difference = abs(image - self.read("exact.png")) * 255
        self.assertLess(difference.mean(), 2)
        self.assertLess(difference.max(), 16)  # of a palette of 256 colours

    def test_turned_and_mirrored_as_the_camera_says(self):
        """Each of the eight orientations, the box counted on the upright photograph."""
        values = np.random.RandomState(0).randint(0, 256, (60, 90)).astype(np.uint8)
        for value in range(1, 9):
            turned = [values, values[:, ::-1], values[::-1, ::-1], values[::-1], values.T, values.T[::-1],
                      values[::-1, ::-1].T, values.T[:, ::-1]][value - 1]
            for name in ("turned.png", "turned.tiff"):  # the second is turned by Pillow while it loads
                Image.fromarray(turned).save(name, exif=orientation(value))
                image = self.read(name, ["42", "12", "48", "48"])
                np.testing.assert_array_equal(image[:, :, 0] * 255, values[12:, 42:], f"{name}, {value}")

    def test_a_file_whose_white_is_not_known_is_refused(self):
        values = np.random.RandomState(0).rand(60, 60).astype(np.float32)
        Image.fromarray(values).save("unit.tiff")
        Image.fromarray(values * 65535).save("large.tiff")
        Image.fromarray((values * 65535).astype(np.int32)).save("integers.tiff")
        Image.fromarray((values * 4095).astype(np.uint16)).save("twelve.tiff")
        with open("twelve.tiff", "rb") as file:
            content = file.read()
        tag = (258).to_bytes(2, "little") + (3).to_bytes(2, "little") + (1).to_bytes(4, "little")
        with open("twelve.tiff", "wb") as file:  # BitsPerSample 12 instead of 16
            file.write(content.replace(tag + b"\x10", tag + b"\x0c"))
        for name in ("unit.tiff", "large.tiff", "integers.tiff", "twelve.tiff"):
            with self.assertRaisesRegex(EmotionDetectorUtils.UserError, f"^{name} .*save it with 8 bits"):
                self.read(name)

    def test_sixteen_bits_in_every_file_that_holds_them(self):
        values = np.arange(48 * 48, dtype=np.uint16).reshape(48, 48) % 256 * 257
        for name in ("deep.png", "deep.tiff", "deep.pgm"):
            Image.fromarray(values).save(name)
            np.testing.assert_allclose(self.read(name)[:, :, 0] * 255, values / 257, atol=1e-4)

    def test_a_photograph_is_averaged_not_sampled(self):
        """HAMMING by its formula, of a picture that shrinks by four, in the middle of a row."""
        values = np.random.RandomState(1).randint(0, 256, (192, 192)).astype(np.uint8)
        Image.fromarray(values).save("noise.png")
        place = (np.arange(192) + 0.5) / 4 - 24.5  # from the centre of pixel 24
        weights = np.where(abs(place) < 1, np.sinc(place) * (0.54 + 0.46 * np.cos(np.pi * place)), 0)
        expected = weights @ values @ weights / weights.sum() ** 2
        self.assertAlmostEqual(expected, self.read("noise.png")[24, 24, 0] * 255, delta=1.5)

    def test_the_largest_square_in_the_middle(self):
        values = np.zeros((48, 148), np.uint8)
        values[:, 50:98] = np.arange(48)
        Image.fromarray(values).save("wide.png")
        np.testing.assert_array_equal(self.read("wide.png")[:, :, 0] * 255,
                                      np.tile(np.arange(48), (48, 1)))

    def test_box(self):
        values = np.random.RandomState(0).randint(0, 256, (90, 120)).astype(np.uint8)
        Image.fromarray(values).save("noise.png")
        image = self.read("noise.png", ["30", "20", "48", "48"])
        np.testing.assert_array_equal(image[:, :, 0] * 255, values[20:68, 30:78])

    @helpers.parameterized.parameters(
        "100,0,48,48", "-1,0,9,9", "0,0,0,9", "0,0,9,-9", "0,0,121,9", "1,2,3", "1,2,3,4,5",
        "a,b,c,d", "nan,0,9,9", "0,0,inf,9", "0.3,0.2,0.4,0.5", "0,0,7,9")
    def test_a_wrong_box_is_told_with_the_size(self, box):
        Image.new("L", (120, 90)).save("black.png")
        with self.assertRaisesRegex(EmotionDetectorUtils.UserError,
                                    "120 pixels wide and 90 high: .* in pixels, at least 8"):
            self.read("black.png", box.split(","))

    def test_colours_are_weighed_as_in_the_book(self):
        for colour, weight in (("red", 0.299), ("lime", 0.587), ("blue", 0.114)):
            Image.new("RGB", (60, 60), colour).save("colour.png")
            np.testing.assert_allclose(self.read("colour.png"), weight, atol=0.5 / 255)

    def test_transparency_lies_over_white(self):
        Image.new("RGBA", (60, 60), (0, 0, 0, 51)).save("glass.png")  # a fifth of black
        np.testing.assert_allclose(self.read("glass.png"), 0.8, atol=1e-6)
        Image.new("P", (60, 60), 0).save("glass.gif", transparency=0)
        np.testing.assert_array_equal(self.read("glass.gif"), 1)
        Image.new("1", (60, 60), 1).save("white.png")
        np.testing.assert_array_equal(self.read("white.png"), 1)

    def test_a_phone_s_108_million_pixels(self):
        Image.new("L", (12000, 9000), 255).save("large.jpg")
        np.testing.assert_array_equal(self.read("large.jpg", [6000, 0, 6000, 9000]), 1)
        self.assertEqual(LIMIT, Image.MAX_IMAGE_PIXELS)  # Pillow's own limit stands again

    def test_more_than_250_million_pixels(self):
        with mock.patch.object(Image, "MAX_IMAGE_PIXELS", None):
            Image.new("1", (20000, 12501)).save("larger.png")
        with self.assertRaisesRegex(EmotionDetectorUtils.UserError,
                                    "^larger.png .*too large, expected at most 250 million pixels: shrink"):
            self.read("larger.png")

    def test_what_cannot_be_read_is_told(self):
        noise = np.random.RandomState(0).randint(0, 256, (90, 80)).astype(np.uint8)
        for name in ("half.jpg", "half.png", "half.gif", "half.webp"):
            Image.fromarray(noise).save(name)
            os.truncate(name, os.path.getsize(name) // 2)
        for name, content in (("empty.jpg", b""), ("text.jpg", b"hello\n" * 100)):
            with open(name, "wb") as file:
                file.write(content)
        os.mkdir("folder.jpg")
        for name in ("missing.jpg", *os.listdir(".")):
            with (self.subTest(name), self.assertRaisesRegex(
                    EmotionDetectorUtils.UserError, f"^{name} cannot be read as a picture .*[a-z]")):
                self.read(name)
