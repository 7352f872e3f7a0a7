"""read_data: the arrays, the split, every kind of file; the practice faces; --convert."""
import hashlib
import os
import re
import shutil

import helpers
import numpy as np
from PIL import Image

import EmotionDetector
import EmotionDetectorUtils

LABELS, PIXELS = helpers.faces(12)
TEXTS = [" ".join(map(str, row)) for row in PIXELS]
ROWS = [f'{label},"{text}"' for label, text in zip(LABELS, TEXTS)]
HEADER = "Emotion,Pixels"


def data(*rows, header=HEADER, newline="\n", end=True):
    """The bytes of a data file."""
    return (newline.join((header, *rows)) + newline * end).encode()


def changed(row, first):
    """A row whose first pixel is another."""
    return f'{LABELS[row]},"{first} {TEXTS[row].split(" ", 1)[1]}"'


# What train.csv holds, and how many faces are read of it.
GOOD = {
    "missing values": (data(*ROWS, f',"{TEXTS[0]}"', "3,", "4", f'NaN,"{TEXTS[0]}"', *ROWS), 24),
    "byte-order mark": (b"\xef\xbb\xbf" + data(*ROWS), 12),
    "CRLF": (data(*ROWS, newline="\r\n"), 12),
    "blank lines at the end": (data(*ROWS, "", "", ""), 12),
    "no newline at the end": (data(*ROWS, end=False), 12),
    "further columns": (data(*[f'x,{row},"x, y"' for row in ROWS], header=f"A,{HEADER},B"), 12),
    "more cells than columns": (data(*[row + "," for row in ROWS]), 12),
    "FER2013's header": (data(*ROWS, header=" emotion , pixels"), 12),
    "floats": (data(*[row.replace(",", ".0,", 1) for row in ROWS]), 12),
    "no quotes": (data(*ROWS).replace(b'"', b""), 12),
    "Latin-1 elsewhere": (data(*[row + ",x" for row in ROWS], header=HEADER + ",N").replace(
        b",x", b",\xe9"), 12),
    "ten rows": (data(*ROWS[:10]), 10),
    "Usage": (data(*[f"{row}, {usage}" for row, usage in zip(
        ROWS, ["Training"] * 10 + ["PublicTest", "PrivateTest"])], header=HEADER + ", Usage"), 10),
}

# What train.csv holds, and what the error says.
BAD = {
    "empty": (b"", "No columns to parse"),
    "header only": (data(), "no row follows the first line"),
    "a PNG": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "it has no column"),
    "NUL bytes": (bytes(5000), "it has no column"),
    "UTF-16": (data(*ROWS).decode().encode("utf-16"), "it has no column .*UTF-8"),
    "zipped": (b'PK\3\4\x14\0\0\0\x08\0train.csv\n",,"\n"', "unpack it if it is zipped"),
    "a web page": (b"<!DOCTYPE html>\n<html>", "it has no column .*a web page"),
    "semicolons": (data(*ROWS).replace(b",", b";"), "it has no column"),
    "a cell a row": (data(*[f'"{row}"' for row in data(*ROWS).decode().replace('"', "").split("\n")[1:13]]),
                     "none of its 12 rows has a value in each column"),
    "no Pixels": (data(*ROWS, header="Emotion,Pix"), "it has no column Pixels"),
    "label 7": (data(*ROWS, f'7,"{TEXTS[0]}"'), "face 13: Emotion holds '7', expected .*0 .*6"),
    "label -1": (data(*ROWS, f'-1,"{TEXTS[0]}"', *ROWS), "face 13: Emotion holds '-1'"),
    "label 2.5": (data(f'2.5,"{TEXTS[0]}"', *ROWS), "face 1: Emotion holds '2.5'"),
    "label happy": (data(f'happy,"{TEXTS[0]}"', *ROWS), "face 1: Emotion holds 'happy'"),
    "2303 values": (data(ROWS[0], f'0,"{TEXTS[0][:-4].strip()}"', *ROWS),
                    "face 2: Pixels holds 2303 values, expected 48x48 = 2304"),
    "2305 values": (data(*ROWS, changed(0, "1 2")), "face 13: Pixels holds 2305 values"),
    "256": (data(*ROWS, changed(0, 256)), "face 13: Pixels holds '256', .*0 to 255"),
    "-1": (data(changed(0, -1), *ROWS), "face 1: Pixels holds '-1'"),
    "12.5": (data(changed(0, 12.5), *ROWS), "face 1: Pixels holds '12.5'"),
    "abc": (data(changed(0, "abc"), *ROWS), "face 1: Pixels holds 'abc'"),
    "more than 64 bits": (data(changed(0, 2 ** 64 + 1), *ROWS), "face 1: Pixels holds '1844"),
    "a face after dropped ones": (data("1,", "2,", f'9,"{TEXTS[0]}"'), "face 3: Emotion holds '9'"),
    "cut off": (data(*ROWS)[:-3000], "EOF inside string starting at row 12.*cut off"),
    "cut off, no quotes": (data(*ROWS).replace(b'"', b"")[:-3000], "face 12: Pixels holds .* values"),
    "nine rows": (data(*ROWS[:9]), "holds 9 faces to train on, expected at least 10"),
    "all for testing": (data(*[row + ",PublicTest" for row in ROWS], header=HEADER + ",Usage"),
                        "holds 0 faces"),
}


class ReadDataTest(helpers.TestCase):

    def test_arrays_are_those_of_the_files(self):
        labels, pixels = helpers.faces(20)
        helpers.write_csv("data/train.csv", labels, pixels)
        helpers.write_csv("data/test.csv", None, pixels[:3])
        order = np.random.RandomState(0).permutation(20)
        images = (pixels / np.float32(255)).astype(np.float32).reshape(20, 48, 48, 1)
        expected = (images[order[2:]], np.eye(7)[labels[order[2:]]],
                    images[order[:2]], np.eye(7)[labels[order[:2]]], images[:3])
        for array, values in zip(EmotionDetectorUtils.read_data("data"), expected, strict=True):
            np.testing.assert_array_equal(array, values)
            self.assertEqual(array.dtype, np.float32)

    @helpers.parameterized.parameters(*GOOD)
    def test_good_file(self, name):
        content, count = GOOD[name]
        with open("train.csv", "wb") as file:
            file.write(content)
        train_images, train_labels, valid_images, _, test_images = EmotionDetectorUtils.read_data(".")
        self.assertEqual((count - count // 10, count // 10), (len(train_images), len(valid_images)))
        self.assertEqual((0, 48, 48, 1), test_images.shape)
        order = np.random.RandomState(0).permutation(count)[count // 10:]
        np.testing.assert_array_equal(np.resize(LABELS, count)[order], train_labels.argmax(axis=1))

    @helpers.parameterized.parameters(*BAD)
    def test_bad_file(self, name):
        content, pattern = BAD[name]
        with open("train.csv", "wb") as file:
            file.write(content)
        path = re.escape(os.path.abspath("train.csv"))
        with self.assertRaisesRegex(EmotionDetectorUtils.UserError, f"^{path}.*{pattern}"):
            EmotionDetectorUtils.read_data(".")

    def test_what_is_left_out_is_counted(self):
        for name, pattern in (("missing values", r"because a value is missing: 4\.\n$"),
                              ("Usage", r"because their Usage is not Training: 2\.\n$")):
            os.makedirs("data", exist_ok=True)
            with open("data/train.csv", "wb") as file:
                file.write(GOOD[name][0])
            self.assert_stated(helpers.train("--max_iterations=1", f"--logs_dir={name}"), pattern, 0)

    def test_test_csv_is_checked_too(self):
        helpers.write_data()
        with open("data/test.csv", "a") as file:
            file.write("1 2 3\n")
        self.assert_stated(helpers.train(), "^Error: .*data/test.csv, face 10: Pixels holds 3 values")

    def test_training_data_is_named_by_content(self):
        helpers.write_csv("train.csv", *helpers.faces(10))
        with open("train.csv", "rb") as file:
            content = hashlib.sha256(file.read()).hexdigest()
        self.assertEqual(f"sha256:{content}", EmotionDetectorUtils.training_data("."))

    def test_the_book_s_constants_are_those_that_cut_the_data(self):
        for name in ("IMAGE_SIZE", "NUM_LABELS", "VALIDATION_PERCENT"):
            self.assertEqual(getattr(EmotionDetector, name), getattr(EmotionDetectorUtils, name))
        self.assertEqual(EmotionDetector.FLAGS["data_dir"].default, EmotionDetectorUtils.DATA_DIR)


class PracticeFacesTest(helpers.TestCase):

    def test_same_faces_on_every_machine(self):
        labels, pixels = EmotionDetectorUtils.draw_faces(4178, seed=0)
        self.assertEqual([579, 574, 590, 667, 580, 605, 583], np.bincount(labels).tolist())
        self.assertEqual("14dfacca412251d9", hashlib.sha256(pixels).hexdigest()[:16])

    @helpers.parameterized.parameters("absent", "empty", "hidden")
    def test_the_default_folder_with_nothing_in_it(self, kind):
        if kind != "absent":
            os.mkdir("EmotionDetector")
        if kind == "hidden":
            open("EmotionDetector/.DS_Store", "w").close()
        self.assertEqual("practice faces", EmotionDetectorUtils.training_data("EmotionDetector/"))
        arrays = EmotionDetectorUtils.read_data("EmotionDetector/")
        self.assertEqual([3761, 3761, 417, 417, 1312], [len(array) for array in arrays])

    @helpers.parameterized.parameters("fer2013.csv", "train.csv.zip", "train/angry/1.jpg", "test.csv")
    def test_the_default_folder_that_holds_something(self, name):
        os.makedirs(os.path.dirname(f"EmotionDetector/{name}"))
        open(f"EmotionDetector/{name}", "w").close()
        path = re.escape(os.path.abspath("EmotionDetector/train.csv"))
        self.assert_stated(helpers.run_script(EmotionDetector, "--logs_dir=logs"),
                           f"^Error: {path} is missing: its folder holds {name.split('/')[0]}.*--convert")

    @helpers.parameterized.parameters("EmotionDetector/", "EmotionDetector", "elsewhere")
    def test_a_named_folder_never_falls_back(self, folder):
        path = re.escape(os.path.join(os.getcwd(), folder.rstrip("/"), "train.csv"))
        self.assert_stated(helpers.run_script(EmotionDetector, f"--data_dir={folder}"),
                           f"^Error: {path} is missing.*Second-Edition.*kaggle")
        self.assertEqual([], os.listdir("."))

    def test_data_beside_the_scripts_started_from_elsewhere(self):
        helpers.write_data("scripts/EmotionDetector")
        os.mkdir("elsewhere")
        shutil.copy(os.path.join(helpers.ROOT, "EmotionDetectorUtils.py"), "scripts")
        result = helpers.finish(helpers.start_script(
            os.path.abspath("scripts/EmotionDetectorUtils.py"), "--figure=first.png", cwd="elsewhere"))
        here, beside = (re.escape(os.path.abspath(folder)) for folder in (
            "elsewhere/EmotionDetector", "scripts/EmotionDetector"))
        self.assert_stated(result, f"^Error: {here}/train.csv is missing: its folder holds nothing, and "
                           f"{beside}/ test.csv, train.csv. .*--data_dir")


class ConvertTest(helpers.TestCase):

    def convert(self, source):
        return helpers.finish(helpers.start_script(
            "EmotionDetectorUtils.py", f"--convert={source}", "--data_dir=data"))

    def read(self, name):
        labels, pixels, _ = EmotionDetectorUtils.read_csv(f"data/{name}", {"emotion", "pixels"})
        return list(zip(labels.tolist(), pixels.tolist()))

    def test_folders_under_train_and_test(self):
        labels, pixels = helpers.faces(21)
        folders = [("angry", "Disgust", "FEARFUL", "3", "sadness", "surprised", "neutral")[label]
                   for label in labels]
        for row, (folder, name) in enumerate(zip(folders, helpers.write_pictures(pixels))):
            folder = f"source/{'train' if row < 14 else 'Test'}/{folder}"
            os.makedirs(folder, exist_ok=True)
            os.rename(name, f"{folder}/{name}")
        os.makedirs("source/train/contempt")
        os.makedirs("source/train/sad/2013")
        for name in ("contempt/face.png", "angry/broken.png", "angry/Thumbs.db", ".DS_Store",
                     "sad/2013/face.png"):
            open(f"source/train/{name}", "w").close()
        status, output, errors = self.convert("source")
        self.assertEqual(0, status, errors)
        self.assertRegex(errors, f"^Left out: {os.getcwd()}/source/train/angry/broken.png [^\n]*\n"
                         f"{os.getcwd()}/source/train/contempt is left out: [^\n]*\n"
                         f"{os.getcwd()}/source/train/sad/2013 is left out: [^\n]*\n$")
        self.assertIn("/source/train/angry: 2 faces, anger\n", output)
        self.assertIn("/source/Test/FEARFUL: 1 faces, fear\n", output)
        for name, rows in (("train.csv", range(14)), ("test.csv", range(14, 21))):
            expected = sorted((labels[row], pixels[row].tolist()) for row in rows)
            self.assertEqual(expected, sorted(self.read(name)))

        before = helpers.contents("data")
        self.assert_stated(self.convert("source"), "data/train.csv is there already")
        self.assertEqual(before, helpers.contents("data"))

    def test_folders_directly(self):
        for folder in ("happy", "sad"):
            os.makedirs(f"source/{folder}")
            Image.new("RGB", (96, 120), "white").save(f"source/{folder}/face.jpg")
        self.assert_well(self.convert("source"))
        self.assertEqual([(3, [255] * 2304), (4, [255] * 2304)], self.read("train.csv"))
        self.assertEqual(["train.csv"], os.listdir("data"))

    def test_fer2013(self):
        usages = ["Training"] * 8 + ["PublicTest", "PrivateTest"] * 2
        with open("icml.csv", "wb") as file:
            file.write(data(*[f"{label}, {usage},{text}" for label, usage, text in zip(
                LABELS, usages, TEXTS)], header="emotion, Usage, pixels"))
        self.assert_well(self.convert("icml.csv"))
        rows = list(zip(LABELS.tolist(), PIXELS.tolist()))
        self.assertEqual((rows[:8], rows[8:]), (self.read("train.csv"), self.read("test.csv")))

    def test_nothing_to_convert(self):
        os.mkdir("empty")
        helpers.write_data("plain")
        for source, pattern in (("empty", "empty holds no face to train on"),
                                ("plain/train.csv", "has no column Usage"),
                                ("nowhere", "nowhere: No such file")):
            self.assert_stated(self.convert(source), pattern)
            self.assertFalse(os.path.exists("data"))
