"""read_image: every kind of file, the box, the area means."""
import unittest

import helpers
import matplotlib.cbook
import numpy as np
from absl.testing import parameterized
from PIL import Image

import EmotionDetectorUtils

PHOTOGRAPH = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)


def save_turned(photograph, path):
    """Save a picture lying on its side, with the EXIF orientation that turns it upright."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    photograph.transpose(Image.Transpose.ROTATE_90).save(path, quality=98, exif=exif)


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
    "cmyk": lambda photograph: photograph.convert("CMYK").save("p.jpg", quality=98),
    "turned": lambda photograph: save_turned(photograph, "p.jpg"),
}


class ReadImageTest(helpers.TestCase, parameterized.TestCase):

    def test_a_face_of_the_data_gives_its_own_values(self):
        _, pixels = helpers.faces(3)
        for row in pixels:
            Image.fromarray(row.reshape(48, 48).astype(np.uint8)).save("face.png")
            image = EmotionDetectorUtils.read_image("face.png")
            self.assertEqual(np.float32, image.dtype)
            np.testing.assert_array_equal(image, EmotionDetectorUtils.to_images(row)[0])

    @parameterized.parameters(*SAVES)
    def test_one_photograph_in_every_format(self, kind):
        with Image.open(PHOTOGRAPH) as photograph:
            SAVES[kind](photograph)
        (path,) = helpers.names(".")
        expected = EmotionDetectorUtils.read_image(PHOTOGRAPH)
        self.assertLess(abs(EmotionDetectorUtils.read_image(path) - expected).mean(), 0.01)

    def test_area_means(self):
        """100 pixels onto 48: each mean takes in 2 1/12 pixels, the outer ones in part."""
        values = np.arange(100, dtype=np.uint8) * 2
        Image.fromarray(np.tile(values, (100, 1))).save("ramp.png")
        image = EmotionDetectorUtils.read_image("ramp.png")[:, :, 0] * 255
        fine = np.repeat(values, 48).reshape(48, 100).mean(axis=1)  # 100 parts of each 48th
        np.testing.assert_allclose(image, np.tile(fine, (48, 1)), atol=1e-3)

    def test_small_pictures_are_enlarged(self):
        Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).save("small.png")
        image = EmotionDetectorUtils.read_image("small.png")[:, :, 0]
        np.testing.assert_array_equal(image, np.kron([[0, 1], [1, 0]], np.ones((24, 24))))

    def test_the_largest_square_in_the_middle(self):
        values = np.zeros((48, 148), np.uint8)
        values[:, 50:98] = np.arange(48)
        Image.fromarray(values).save("wide.png")
        image = EmotionDetectorUtils.read_image("wide.png")[:, :, 0] * 255
        np.testing.assert_allclose(image, np.tile(np.arange(48), (48, 1)), atol=1e-4)

    def test_box(self):
        values = np.random.RandomState(0).randint(0, 256, (90, 120)).astype(np.uint8)
        Image.fromarray(values).save("noise.png")
        image = EmotionDetectorUtils.read_image("noise.png", ["30", "20", "48", "48"])
        np.testing.assert_array_equal(image[:, :, 0] * 255, values[20:68, 30:78])

    @parameterized.parameters("100,0,48,48", "-1,0,9,9", "0,0,0,9", "0,0,9,-9", "0,0,121,9",
                              "1,2,3", "1,2,3,4,5", "a,b,c,d", "nan,0,9,9", "0,0,inf,9")
    def test_a_wrong_box_is_told_with_the_size(self, box):
        Image.new("L", (120, 90)).save("black.png")
        with self.assertRaisesRegex(EmotionDetectorUtils.UserError, "120 pixels wide and 90 high"):
            EmotionDetectorUtils.read_image("black.png", box.split(","))

    def test_colours_are_weighed_as_in_the_book(self):
        for colour, weight in (("red", 0.299), ("lime", 0.587), ("blue", 0.114)):
            Image.new("RGB", (60, 60), colour).save("colour.png")
            image = EmotionDetectorUtils.read_image("colour.png")
            np.testing.assert_allclose(image, weight, atol=0.5 / 255)

    def test_transparency_lies_over_white(self):
        Image.new("RGBA", (60, 60), (0, 0, 0, 51)).save("glass.png")  # a fifth of black
        np.testing.assert_allclose(EmotionDetectorUtils.read_image("glass.png"), 0.8, atol=1e-6)
        Image.new("P", (60, 60), 0).save("glass.gif", transparency=0)
        np.testing.assert_array_equal(EmotionDetectorUtils.read_image("glass.gif"), 1)

    def test_black_and_white(self):
        Image.new("1", (60, 60), 1).save("white.png")
        np.testing.assert_array_equal(EmotionDetectorUtils.read_image("white.png"), 1)


if __name__ == "__main__":
    unittest.main()
