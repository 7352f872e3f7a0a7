"""read_image: every kind of picture, the box; --convert: folders of pictures, and CSV files with a column Usage."""
import csv
import itertools
import os
from unittest import mock

import helpers
import matplotlib.cbook
import numpy as np
from PIL import Image

import EmotionDetectorUtils

PHOTOGRAPH = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)


def exif_orientation(value):
    """EXIF metadata with an orientation; 6 is to be shown turned by 90 degrees clockwise."""
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


class ReadImageTest(helpers.TestCase):
    read = staticmethod(EmotionDetectorUtils.read_image)

    def test_a_face_of_the_data_gives_its_own_values(self):
        _, pixels = helpers.faces(3)
        for name, expected in zip(helpers.write_pictures(pixels), EmotionDetectorUtils.to_images(pixels)):
            np.testing.assert_array_equal(expected, self.read(name))
            Image.open(name).convert("RGB").save("colour.png")
            np.testing.assert_array_equal(expected, self.read("colour.png"))

    @helpers.cases(
        ("p.jpg", "RGB", {"quality": 98}), ("p.jpg", "CMYK", {"quality": 98}), ("p.webp", "RGB", {"quality": 95}),
        ("p.png", "P", {}), ("p.gif", "P", {"save_all": True, "append_images": [Image.new("P", (250, 300))]}),
        ("p.jpg", "RGB", {"quality": 98, "exif": b"Exif\0\0no TIFF file"}),
        ("p.jpg", "RGB", {"quality": 98, "exif": exif_orientation(9)}))
    def test_kinds_of_files_give_the_same_image(self, name, mode, options):
        """In colours of all kinds, moving, and with damaged EXIF data or an orientation that there is not."""
        with Image.open(PHOTOGRAPH) as photograph:
            photograph.thumbnail((300, 300))
            photograph.save("exact.png")
            (photograph.quantize(256) if mode == "P" else photograph.convert(mode)).save(name, **options)
        difference = abs(self.read(name) - self.read("exact.png")) * 255
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
        with self.assert_user_error(f"^--box={box} does not lie in {self.folder}/black.png, which is 120 pixels wide "
                                    "and 90 high: .* in pixels, at least 8"):
            self.read("black.png", box.split(","))

    @helpers.cases(
        ("RGBA", (0, 0, 0, 51), {}, 0.8), ("LA", (0, 51), {}, 0.8), ("P", 0, {"transparency": 0}, 1),
        ("L", 0, {"transparency": 0}, 1), ("RGB", (0, 0, 0), {"transparency": (0, 0, 0)}, 1), ("1", 1, {}, 1))
    def test_what_is_transparent_lies_over_white(self, mode, black, options, expected):
        Image.new(mode, (60, 60), black).save("glass.png", **options)
        np.testing.assert_allclose(self.read("glass.png"), expected, atol=1e-6)

    @helpers.cases(("a.tiff", np.float32), ("a.tiff", np.int32), ("a.tiff", np.uint16), ("a.png", np.uint16),
                   ("a.pgm", np.uint16))
    def test_more_than_eight_bits_a_channel_are_refused(self, name, dtype):
        Image.fromarray(np.random.RandomState(0).randint(0, 65536, (60, 60)).astype(dtype)).save(name)
        self.assert_refused(name, "it has more than 8 bits a channel")

    def assert_refused(self, name, fault):
        with self.assert_user_error(f"^{self.folder}/{name} cannot be read as a picture [(]{fault}.*[)]: save it as "
                                    "JPEG or PNG, with 8 bits a channel.$"):
            self.read(name)

    @helpers.cases(("half.jpg", 0.5), ("half.png", 0.5), ("half.gif", 0.5), ("half.webp", 0.5), ("a.png", 0))
    def test_a_damaged_picture(self, name, share):
        Image.fromarray(np.random.RandomState(0).randint(0, 256, (90, 80)).astype(np.uint8)).save(name)
        os.truncate(name, int(os.path.getsize(name) * share))
        self.assert_refused(name, "[a-z]")


LABEL_OF = {"anger": 0, "angry": 0, "disgust": 1, "disgusted": 1, "fear": 2, "fearful": 2, "afraid": 2, "scared": 2,
            "happy": 3, "happiness": 3, "joy": 3, "sad": 4, "sadness": 4, "surprise": 5, "surprised": 5, "neutral": 6}
TEST_WORDS = ["test", "tests", "testing", "testset", "val", "valid", "validate", "validation", "eval", "evaluation",
              "dev", "holdout", "publictest", "privatetest"]
FILE_OF = dict.fromkeys(["", "train", "training"], "train.csv") | dict.fromkeys(TEST_WORDS, "test.csv")


def read(name):
    """The labels and pixels of a file in ./data."""
    with open(f"data/{name}") as file:
        return [(int(row["Emotion"]), list(map(int, row["Pixels"].split()))) for row in csv.DictReader(file)]


def write_tree(*folders):
    """Write a face into each folder of the source, a different one for each; return the faces."""
    faces = np.random.RandomState(len(folders)).randint(0, 256, (len(folders), 48, 48)).astype(np.uint8)
    for folder, face in zip(folders, faces):
        os.makedirs(f"source/{folder}", exist_ok=True)
        Image.fromarray(face).save(f"source/{folder}/face.png")
    return faces.reshape(-1, 2304).tolist()


def convert(source):
    """Convert into ./data in this process; as `helpers.finish`."""
    return helpers.run_script(EmotionDetectorUtils, main=lambda _: EmotionDetectorUtils.convert(source, "data"))


class ConvertTest(helpers.TestCase):
    def test_every_word_in_a_large_tree(self):
        """Each word for an emotion beside each for a file, in any case, with punctuation and digits, at any depth."""
        rng = np.random.RandomState(8)
        styles = ("{}", "3_{}", "{}-1", "({}) 2019", "_{}.", "12 {}")
        folders, files, expected_labels = [], [], []
        for number, (word, usage) in enumerate(itertools.product(LABEL_OF, FILE_OF)):
            word_here, usage_here = (rng.choice(styles).format(rng.choice([text, text.upper(), text.title()]))
                                     for text in (word, usage))
            other, outer = rng.choice(list(LABEL_OF)), rng.choice(["Testimony", "TRAIN", "valencia", "validation 7"])
            folders.append(os.path.normpath(f"{outer}/{number}/" + rng.choice([
                f"{other}/{usage_here}/{word_here}", f"{word_here}/{usage_here}/person {number}",
                f"train {usage_here} {word_here}", f"{word_here}, {usage_here}/Contest {number}/{number}"])))
            held_out = not usage and outer == "validation 7" and "train" not in folders[-1]
            files.append("test.csv" if held_out else FILE_OF[usage])
            expected_labels.append(LABEL_OF[word])
        faces = write_tree(*folders)
        output = self.assert_well(convert("source"))
        for name in ("train.csv", "test.csv"):
            expected = sorted((label, face) for label, face, file in zip(expected_labels, faces, files) if file == name)
            self.assertEqual(expected, sorted(read(name)))
            self.assertIn(f"{self.folder}/data/{name}: {len(expected)} faces\n", output)
        for folder, name, label in zip(folders, files, expected_labels):
            line = f"{self.folder}/source/{folder}: 1 faces, {helpers.EMOTIONS[label]} -> {name}\n"
            self.assertTrue(line in output, line)

    def test_what_is_left_out_is_told(self):
        write_tree("train/angry", "train/contempt", "happy, sad", "not happy")
        for name in ("broken.png", "Thumbs.db", "a.HEIC", "noending", ".DS_Store"):
            helpers.write(f"source/train/angry/{name}", "")
        os.symlink("nowhere", "source/train/angry/link.png")
        status, output, errors = convert("source")
        source = f"{self.folder}/source"
        self.assertRegex(errors, f"^Left out: {source}/train/angry/broken.png [^\n]*\n"
                         f"Left out: {source}/train/angry/link.png: No such file or directory.\n"
                         f"{source}/happy, sad: left out: 1 pictures, since no folder [^\n]*\n"
                         f"{source}/not happy: left out: 1 pictures, since [^\n]*\n"
                         f"{source}/train/contempt: left out: 1 pictures, since [^\n]*\n"
                         f"{source}: left out: 3 files that do not end as a picture does.\n$")
        self.assertEqual((0, True), (status, "/source/train/angry: 1 faces, anger -> train.csv\n" in output))

    @helpers.cases(
        [f"DATASET/{part}/{number}" for part in ("train", "test") for number in range(1, 8)],
        [str(number) for number in range(7)], ["train/0", "train/12"], ["Contest/0", "1"], ["test/happy"], ["."])
    def test_without_a_face_to_train_on_nothing_is_written(self, *folders):
        write_tree(*folders)
        helpers.write("source/Thumbs.db", "")
        self.assert_stated(convert("source"), f"^Error: {self.folder}/source holds no face to train on: .* in words.*"
                           "FER2013: 0 anger, 1 disgust, 2 fear, 3 happy, 4 sad, 5 surprise, 6 neutral.*rename each")
        self.assertFalse(os.path.exists("data"))

    def test_links_are_followed_and_circles_end(self):
        write_tree("train/happy", "train/sad")
        os.rename("source/train/sad", "elsewhere")
        for target, link in (("elsewhere", "source/train/sad"), ("source/train", "source/train/happy/up"),
                             ("source/train/happy", "elsewhere/fear"), ("elsewhere", "source/train/happy/other")):
            os.symlink(os.path.abspath(target), link)
        self.assert_well(helpers.finish(helpers.start_script(
            "EmotionDetectorUtils.py", "--convert=source", "--data_dir=data")))
        self.assertEqual([2, 3, 3, 4], sorted(label for label, _ in read("train.csv")))

    @helpers.cases("test.csv", "train.csv")
    def test_a_file_that_is_there_already_is_kept(self, name):
        write_tree("train/happy", "test/sad")
        os.makedirs("data")
        os.symlink("nowhere", f"data/{name}")
        self.assert_stated(convert("source"), f"^Error: {self.folder}/data/{name} is there already")
        self.assertEqual([name], os.listdir("data"))

    @helpers.cases("Training PublicTest PrivateTest Training", "test train val Training")
    def test_a_file_with_usage_is_split_by_it_in_its_order(self, usages):
        usages, faces = usages.split() * 10, helpers.faces(40, seed=4)
        rows = [f"{label}, {usage}, {' '.join(map(str, pixels))}" for label, pixels, usage in zip(*faces, usages)]
        helpers.write("icml.csv", "\n".join(["emotion, Usage, pixels", *rows]))
        os.mkdir("data")
        self.assert_well(convert("icml.csv"))
        for name, wanted in (("train.csv", True), ("test.csv", False)):
            self.assertEqual([(label, pixels.tolist()) for label, pixels, usage in zip(*faces, usages)
                              if usage.lower().startswith("train") == wanted], read(name))

    @helpers.cases(
        ("plain.csv", "plain.csv: its first line is 'Emotion,Pixels'. Expected .* Emotion and Pixels and Usage"),
        ("nowhere", "nowhere: No such file"))
    def test_nothing_to_convert(self, source, pattern):
        helpers.write_csv("plain.csv", *helpers.faces(12))
        self.assert_stated(convert(source), f"^Error: {self.folder}/{pattern}")
        self.assertFalse(os.path.exists("data"))

    def test_half_a_data_set_is_never_train_csv(self):
        write_tree("happy")
        with mock.patch.object(os, "replace", side_effect=KeyboardInterrupt), self.assertRaises(KeyboardInterrupt):
            convert("source")
        self.assertEqual(["train.csv.part"], os.listdir("data"))
