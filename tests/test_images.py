"""read_image: every kind of picture, the box; what cannot be read."""
import concurrent.futures
import itertools
import os
import warnings
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

    def test_against_pillow_s_own_steps(self):
        """Portrait and landscape in each of the eight orientations, with and without a box on the upright picture."""
        rng = np.random.RandomState(0)
        for value, (width, height) in itertools.product(range(1, 9), ((620, 450), (450, 620), (50, 61))):
            values = rng.randint(0, 256, (height, width, 3)).astype(np.uint8)
            axes = values.transpose(1, 0, 2)
            stored = [values, values[:, ::-1], values[::-1, ::-1], values[::-1], axes, axes[::-1],
                      axes[::-1, ::-1], axes[:, ::-1]][value - 1]
            side = min(width, height)
            middle = (width - side) // 2, (height - side) // 2, side, side
            left, top = rng.randint(width - 48), rng.randint(height - 48)
            box = left, top, rng.randint(8, width - left + 1), rng.randint(8, height - top + 1)
            for name in ("turned.png", "turned.tiff"):  # the second is turned by Pillow while it loads
                Image.fromarray(stored).save(name, exif=orientation(value), compress_level=1)
                for asked, (x, y, wide, high) in ((None, middle), (list(map(str, box)), box)):
                    small = Image.fromarray(values).resize(
                        (48, 48), Image.Resampling.HAMMING, box=(x, y, x + wide, y + high)).convert("L")
                    np.testing.assert_array_equal(np.asarray(small), self.read(name, asked)[:, :, 0] * 255,
                                                  f"{name}, {value}, {asked}")

    def test_more_than_eight_bits_a_channel_are_refused(self):
        values = np.random.RandomState(0).rand(60, 60)
        for name, array in (("floats.tiff", values.astype(np.float32)), ("integers.tiff", (values * 65535).astype(np.int32)),
                            *((f"grey16.{ending}", (values * 65535).astype(np.uint16)) for ending in ("tiff", "png", "pgm"))):
            Image.fromarray(array).save(name)
            with self.assertRaisesRegex(EmotionDetectorUtils.UserError,
                                        f"^{os.getcwd()}/{name} .*more than 8 bits a channel: save it with 8 bits"):
                self.read(name)

    def test_a_photograph_is_averaged_not_sampled(self):
        """HAMMING by its formula, of a picture that shrinks by four, in the middle of a row."""
        values = np.random.RandomState(1).randint(0, 256, (192, 192)).astype(np.uint8)
        Image.fromarray(values).save("noise.png")
        place = (np.arange(192) + 0.5) / 4 - 24.5  # from the centre of pixel 24
        weights = np.where(abs(place) < 1, np.sinc(place) * (0.54 + 0.46 * np.cos(np.pi * place)), 0)
        expected = weights @ values @ weights / weights.sum() ** 2
        self.assertAlmostEqual(expected, self.read("noise.png")[24, 24, 0] * 255, delta=1.5)

    def test_a_box_is_taken_just_where_it_lies_in_the_picture(self):
        """Against the plain condition, on boxes around the edges: exactly 8, exactly at the border, one beyond."""
        rng, taken = np.random.RandomState(1), 0
        for _ in range(4000):
            width, height = size = rng.randint(8, 30, 2).tolist()
            box = [*rng.randint(-1, 12, 2).tolist(), *rng.randint(6, 20, 2).tolist()]
            lies = (box[0] >= 0 and box[1] >= 0 and box[0] + box[2] <= width and box[1] + box[3] <= height
                    and box[2] >= 8 and box[3] >= 8)
            taken += lies
            try:
                found = EmotionDetectorUtils.crop_box("x.png", size, list(map(str, box)))
            except EmotionDetectorUtils.UserError:
                found = None
            self.assertEqual(tuple(box) if lies else None, found, (size, box))
        self.assertGreater(taken, 200)

    @helpers.parameterized.parameters(
        "100,0,48,48", "0,0,9,-9", "1,2,3", "1,2,3,4,5", "a,b,c,d", "nan,0,9,9", "0,0,inf,9", "0.3,0.2,0.4,0.5",
        "0,0,7.9,9", "112.1,0,8,9")
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

    def test_the_limit_is_the_script_s_and_elsewhere_pillow_s(self):
        """A phone's 108 million pixels are read; what is told names the limit that holds; threads change nothing."""
        Image.new("L", (12000, 9000), 255).save("large.jpg")
        with mock.patch.object(Image, "MAX_IMAGE_PIXELS", EmotionDetectorUtils.MAX_PIXELS // 2):
            np.testing.assert_array_equal(self.read("large.jpg", [6000, 0, 6000, 9000]), 1)
        for limit, told in ((EmotionDetectorUtils.MAX_PIXELS // 2, 250), (30_000_000, 60)):
            with mock.patch.object(Image, "MAX_IMAGE_PIXELS", None):
                Image.new("1", (20000, 12501)).save("larger.png")
            with mock.patch.object(Image, "MAX_IMAGE_PIXELS", limit), self.assertRaisesRegex(
                    EmotionDetectorUtils.UserError, f"/larger.png .*too large, expected at most {told} million pixels: shrink"):
                self.read("larger.png")
        Image.new("L", (60, 60)).save("small.png")
        before = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            list(threads.map(self.read, ["small.png"] * 100))
        self.assertEqual((LIMIT, before[1]), (Image.MAX_IMAGE_PIXELS, list(warnings.filters)))

    def test_what_cannot_be_read_is_told(self):
        noise = np.random.RandomState(0).randint(0, 256, (90, 80)).astype(np.uint8)
        for name in ("half.jpg", "half.png", "half.gif", "half.webp"):
            Image.fromarray(noise).save(name)
            os.truncate(name, os.path.getsize(name) // 2)
        for name, content in (("empty.jpg", b""), ("text.jpg", b"hello\n" * 100)):
            with open(name, "wb") as file:
                file.write(content)
        os.mkdir("folder.jpg")
        os.symlink("nowhere", "link.jpg")
        causes = {"missing.jpg": "No such file", "folder.jpg": "Is a directory", "link.jpg": "it is a link to nothing"}
        for name in ("missing.jpg", *os.listdir(".")):
            with self.subTest(name), self.assertRaisesRegex(
                    EmotionDetectorUtils.UserError,
                    f"^{os.getcwd()}/{name} cannot be read as a picture .{causes.get(name, '.*[a-z]')}"):
                self.read(name)
