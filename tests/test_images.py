"""read_image: every kind of picture, the box; what cannot be read."""
import itertools
import os

import helpers
import matplotlib.cbook
import numpy as np
from PIL import Image, features

import EmotionDetectorUtils

PHOTOGRAPH = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)


def exif_orientation(value):
    """EXIF metadata with an orientation; 6 is to be shown turned by 90 degrees clockwise."""
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


# The name of a file, a photograph's form in it, and what its format is told.
KINDS = {
    "jpeg": ("p.jpg", "RGB", {"quality": 98}), "png": ("p.png", "RGB", {}), "rgba": ("p.png", "RGBA", {}),
    "grey": ("p.png", "L", {}), "grey with transparency": ("p.png", "LA", {}), "palette": ("p.png", "P", {}),
    "gif": ("p.gif", "P", {"save_all": True, "append_images": [Image.new("P", (512, 600))]}),
    "bmp": ("p.bmp", "RGB", {}), "webp": ("p.webp", "RGB", {"quality": 95}), "tiff": ("p.tiff", "RGB", {}),
    "cmyk": ("p.jpg", "CMYK", {"quality": 98}),
    "damaged EXIF": ("p.jpg", "RGB", {"quality": 98, "exif": b"Exif\0\0no TIFF file"}),
    "orientation 9": ("p.jpg", "RGB", {"quality": 98, "exif": exif_orientation(9)}),
    "orientation in words": ("p.jpg", "RGB", {"quality": 98, "exif": b"Exif\0\0II*\0\x08\0\0\0"
                                              b"\1\0\x12\1\2\0\3\0\0\0up\0\0\0\0\0\0"})}
if features.check("avif"):
    KINDS["avif"] = ("p.avif", "RGB", {"quality": 95})


class ReadImageTest(helpers.TestCase):

    read = staticmethod(EmotionDetectorUtils.read_image)

    def test_a_face_of_the_data_gives_its_own_values(self):
        _, pixels = helpers.faces(3)
        images = EmotionDetectorUtils.to_images(pixels)
        for name, expected in zip(helpers.write_pictures(pixels), images):
            np.testing.assert_array_equal(expected, self.read(name))
            Image.open(name).convert("RGB").save("colour.png")
            np.testing.assert_array_equal(expected, self.read("colour.png"))

    @helpers.cases(*KINDS)
    def test_kinds_of_files_give_the_same_image(self, kind):
        name, mode, options = KINDS[kind]
        with Image.open(PHOTOGRAPH) as photograph:
            photograph.save("exact.png")
            (photograph.quantize(256) if mode == "P" else photograph.convert(mode)).save(name, **options)
        image = self.read(name)
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
            box = left + 0.25, top + 0.5, *rng.randint(8, (width - left, height - top)).tolist()
            for name in ("turned.png", "turned.tiff"):  # the second is turned by Pillow while it loads
                Image.fromarray(stored).save(name, exif=exif_orientation(value), compress_level=1)
                for asked, (x, y, wide, high) in ((None, middle), (list(map(str, box)), box)):
                    small = Image.fromarray(values).resize(
                        (48, 48), Image.Resampling.HAMMING, box=(x, y, x + wide, y + high)).convert("L")
                    np.testing.assert_array_equal(np.asarray(small), self.read(name, asked)[:, :, 0] * 255,
                                                  f"{name}, {value}, {asked}")

    def test_a_box_is_taken_just_where_it_lies_in_the_picture(self):
        """Against the plain condition, on boxes around the edges: exactly 8, at the border, a quarter beyond."""
        rng, taken = np.random.RandomState(1), 0
        for _ in range(6000):
            width, height = size = rng.randint(8, 30, 2).tolist()
            box = [*(rng.randint(-4, 48, 2) / 4).tolist(), *(rng.randint(28, 80, 2) / 4).tolist()]
            lies = (box[0] >= 0 and box[1] >= 0 and box[0] + box[2] <= width and box[1] + box[3] <= height
                    and box[2] >= 8 and box[3] >= 8)
            taken += lies
            try:
                found = EmotionDetectorUtils.crop_box("x.png", size, list(map(str, box)))
            except EmotionDetectorUtils.UserError:
                found = None
            self.assertEqual(tuple(box) if lies else None, found, (size, box))
        self.assertGreater(taken, 200)

    @helpers.cases(
        "100,0,48,48", "0,0,9,-9", "1,2,3", "1,2,3,4,5", "a,b,c,d", "nan,0,9,9", "0,0,inf,9", "0.3,0.2,0.4,0.5")
    def test_a_wrong_box_is_told_with_the_size(self, box):
        Image.new("L", (120, 90)).save("black.png")
        with self.assert_user_error(f"^--box={box} does not lie in {self.folder}/black.png, which is 120 pixels wide and "
                                    "90 high: .* in pixels, at least 8"):
            self.read("black.png", box.split(","))

    @helpers.cases(
        ("RGBA", (0, 0, 0, 51), {}, 0.8), ("LA", (0, 51), {}, 0.8), ("P", 0, {"transparency": 0}, 1),
        ("L", 0, {"transparency": 0}, 1), ("RGB", (0, 0, 0), {"transparency": (0, 0, 0)}, 1), ("1", 1, {}, 1))
    def test_what_is_transparent_lies_over_white(self, mode, black, options, expected):
        Image.new(mode, (60, 60), black).save("glass.png", **options)
        np.testing.assert_allclose(self.read("glass.png"), expected, atol=1e-6)

    @helpers.cases(("floats.tiff", np.float32, 1), ("integers.tiff", np.int32, 65535),
                                      ("grey16.tiff", np.uint16, 65535), ("grey16.png", np.uint16, 65535),
                                      ("grey16.pgm", np.uint16, 65535))
    def test_more_than_eight_bits_a_channel_are_refused(self, name, dtype, highest):
        Image.fromarray((np.random.RandomState(0).rand(60, 60) * highest).astype(dtype)).save(name)
        self.assert_refused(name, "it has more than 8 bits a channel")

    def assert_refused(self, name, fault):
        """A picture's fault is told, with the advice that every fault has."""
        with self.assert_user_error(f"^{self.folder}/{name} cannot be read as a picture [(]{fault}.*[)]: save it as JPEG "
                                    "or PNG, with 8 bits a channel.$"):
            self.read(name)

    @helpers.cases(("half.jpg", 0.5), ("half.png", 0.5), ("half.gif", 0.5), ("half.webp", 0.5), ("a.png", 0))
    def test_a_damaged_picture(self, name, share):
        Image.fromarray(np.random.RandomState(0).randint(0, 256, (90, 80)).astype(np.uint8)).save(name)
        os.truncate(name, int(os.path.getsize(name) * share))
        self.assert_refused(name, "[a-z]")
