"""read_data: the arrays, the split, every kind of file; the practice faces; --convert."""
import hashlib
import os
import re
import shutil
from unittest import mock

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
    "blank lines above the header": (b"\n\r\n" + data(*ROWS), 12),
    "blank lines at the end": (data(*ROWS, "", "", ""), 12),
    "no newline at the end": (data(*ROWS, end=False), 12),
    "further columns": (data(*[f'x,{row},"x, y"' for row in ROWS], header=f"A,{HEADER},B"), 12),
    "more cells than columns": (data(*[row + "," for row in ROWS]), 12),
    "FER2013's header": (data(*ROWS, header=" emotion , pixels"), 12),
    "a blank line after each row": (data(*ROWS, newline="\r\r\n"), 12),
    "floats": (data(*[row.replace(",", ".0,", 1) for row in ROWS]), 12),
    "no quotes": (data(*ROWS).replace(b'"', b""), 12),
    "Latin-1 elsewhere": (data(*[row + ",x" for row in ROWS], header=HEADER + ",N").replace(
        b",x", b",\xe9"), 12),
    "ten rows": (data(*ROWS[:10]), 10),
    "Usage": (data(*[f"{row}, {usage}" for row, usage in zip(
        ROWS, ["Training"] * 10 + ["PublicTest", "PrivateTest"])], header=HEADER + ", Usage"), 10),
    "another Usage": (data(*[f"{row},{usage}" for row, usage in zip(
        ROWS, ["train"] * 10 + ["test", "val"])], header=HEADER + ",usage"), 10),
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
                        "no face to train on: its column Usage holds PublicTest, expected Training"),
    "Emotion twice": (data(*[row + ",1" for row in ROWS], header=HEADER + ",Emotion"),
                      "more than one column Emotion"),
    "emotion, Emotion": (data(*[row + ",1" for row in ROWS], header="emotion,pixels,Emotion"),
                         "more than one column Emotion"),
    "pixels, Pixels": (data(*[f'{row},"{TEXTS[0]}"' for row in ROWS], header="Emotion,pixels, Pixels "),
                       "more than one column Pixels"),
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
        with self.assertRaisesRegex(EmotionDetectorUtils.UserError, f"^{path}.*{pattern}") as caught:
            EmotionDetectorUtils.read_data(".")
        advised = "unpack it" in str(caught.exception)
        self.assertEqual(advised, "face " not in str(caught.exception) and "column U" not in pattern
                         and "more than one" not in pattern and name not in ("nine rows", "a cell a row"))

    def test_what_is_left_out_is_counted(self):
        for name, pattern in (("missing values", r"because a value is missing: 4\.\n$"),
                              ("Usage", r"because their Usage is not Training: 2\.\n$")):
            os.makedirs("data", exist_ok=True)
            with open("data/train.csv", "wb") as file:
                file.write(GOOD[name][0])
            self.assert_stated(helpers.train("--max_iterations=1", f"--logs_dir={name}"), pattern, 0)

    def read_test_set(self, *rows, header="Pixels", newline="\n"):
        """Read a test set of these rows beside a good train.csv."""
        helpers.write_csv("data/train.csv", LABELS, PIXELS)
        with open("data/test.csv", "wb") as file:
            file.write(data(*rows, header=header, newline=newline))
        EmotionDetectorUtils.read_data("data")
        return EmotionDetectorUtils.read_test_set("data")

    def test_test_csv_is_checked_too(self):
        with self.assertRaisesRegex(EmotionDetectorUtils.UserError, "data/test.csv, face 10: Pixels holds 3 values"):
            self.read_test_set(*TEXTS[:9], "1 2 3")

    @helpers.parameterized.parameters(
        ("Pixels", ["{0}", "", "{1}"], "\n", 2), ("Pixels", ["{0}", "{1}"], "\r\r\n", 1),
        ("Pixels", ["{0}", "  ", "{1}"], "\n", 2), ("Emotion,Pixels", ["3,{0}", "3,", "4,{1}"], "\n", 2),
        ("Emotion,Pixels", ["3,{0}", "4,{1}", "", "4,{1}"], "\n", 3), ("Id,Pixels", ["1,", "2,{0}"], "\n", 1),
        ("Emotion,Pixels", ["3,{0}", "4,"], "\n", 2))
    def test_a_row_of_test_csv_without_a_face_is_an_error(self, header, rows, newline, number):
        """Dropped, it would give each answer after it the Id of another face."""
        with self.assertRaisesRegex(EmotionDetectorUtils.UserError, f"data/test.csv, face {number}: no pixels"):
            self.read_test_set(*[row.format(*TEXTS) for row in rows], header=header, newline=newline)

    @helpers.parameterized.parameters(
        ([",{0}", ",{1}", ",{2}"], None), (["3,{0}", ",{1}", "4,{2}"], None),
        (["3,{0}", "1,{1}", "4,{2}", "", "", ""], [3, 1, 4]))
    def test_labels_of_test_csv_count_if_all_are_there(self, rows, expected):
        labels, pixels = self.read_test_set(*[row.format(*TEXTS) for row in rows], header="Emotion,Pixels")
        self.assertEqual(expected, labels if labels is None else labels.tolist())
        np.testing.assert_array_equal(PIXELS[:3], pixels)

    def test_a_file_instead_of_its_folder(self):
        helpers.write_data()
        self.assert_stated(helpers.train("--data_dir=data/train.csv"),
                           f"^Error: {os.getcwd()}/data/train.csv is a file: name the folder")

    def test_training_data_is_named_by_content(self):
        helpers.write_csv("train.csv", *helpers.faces(10))
        with open("train.csv", "rb") as file:
            content = hashlib.sha256(file.read()).hexdigest()
        self.assertEqual(f"sha256:{content}", EmotionDetectorUtils.data_fingerprint("."))

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
        self.assertEqual("practice faces", EmotionDetectorUtils.data_fingerprint("EmotionDetector/"))
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

    def read_labels(self, name):
        return [label for label, _ in self.read(name)]

    def write_tree(self, *folders):
        """Write a face into each folder of the source."""
        for number, folder in enumerate(folders):
            os.makedirs(f"source/{folder}", exist_ok=True)
            Image.new("L", (48, 48), number).save(f"source/{folder}/face.png")

    def test_folders_under_train_and_test(self):
        labels, pixels = helpers.faces(21)
        folders = [("angry", "Disgust", "FEARFUL", "3_happy", "sadness", "surprised", "neutral")[label]
                   for label in labels]
        for row, (folder, name) in enumerate(zip(folders, helpers.write_pictures(pixels))):
            folder = f"source/{'train' if row < 14 else 'Test'}/{folder}"
            os.makedirs(folder, exist_ok=True)
            os.rename(name, f"{folder}/{name}")
        self.write_tree("train/contempt")
        for name in ("angry/broken.png", "angry/Thumbs.db", "angry/a.HEIC", "angry/noending", ".DS_Store"):
            open(f"source/train/{name}", "w").close()
        status, output, errors = self.convert("source")
        self.assertEqual(0, status, errors)
        source = re.escape(os.path.abspath("source"))
        self.assertRegex(errors, rf"^{source}/train/angry: left out: 1 \.db, 1 \.heic, 1 without an ending\.\n"
                         f"{source}/train/contempt: left out: 1 pictures, since [^\n]* is named anger, [^\n]*\n"
                         f"Left out: {source}/train/angry/broken.png [^\n]*\n$")
        self.assertIn("/source/train/angry: 2 faces, anger\n", output)
        self.assertIn("/source/Test/FEARFUL: 1 faces, fear\n", output)
        self.assertRegex(output, "/data/train.csv: 14 faces\n.*/data/test.csv: 7 faces\n$")
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

    @helpers.parameterized.parameters(
        [f"DATASET/{part}/{number}" for part in ("train", "test") for number in range(1, 8)],
        [str(number) for number in range(8)], ["1", "2"], ["0", "1/0"], ["train/0", "train/12"])
    def test_numbers_that_may_mean_other_emotions(self, *folders):
        self.write_tree(*folders)
        self.assert_stated(self.convert("source"), "^Error: .*/source has folders named .* FER2013 .0 anger, 1 "
                           "disgust, .* 6 neutral.*Rename each to its emotion in words")
        self.assertFalse(os.path.exists("data"))

    def test_numbers_that_fit(self):
        self.write_tree("train/0", "train/3/someone", "train/6", "test/5")
        self.assert_stated(self.convert("source"), "/source: .* read as FER2013's: 0 anger, 1 disgust", 0)
        self.assertEqual(([0, 3, 6], [5]), (self.read_labels("train.csv"), self.read_labels("test.csv")))

    @helpers.parameterized.parameters(
        (["train/happy/1", "train/happy/person 2", "train/sad"], [3, 3, 4], []),
        (["archive/images/train/angry", "archive/images/validation/fear"], [0], [2]),
        (["Valencia 2019/happy", "testimony/sad", "Contest/fear"], [3, 4, 2][::-1], []),
        (["train/happy", "my train/Test Set/sad", "test/for training/fear"], [2, 3], [4]),
        (["train test split/happy", "angry"], [0], [3]),
        (["happy/test", "happy/val_1", "happy/PublicTest", "happy/x"], [3], [3, 3, 3]),
        (["sad/happy"], [3], []))
    def test_labels_and_files_by_the_innermost_folder(self, folders, train, test):
        self.write_tree(*folders)
        self.assert_well(self.convert("source"))
        self.assertEqual(sorted(train), sorted(self.read_labels("train.csv")))
        self.assertEqual(test, self.read_labels("test.csv") if test else [])

    def test_numbers_beside_words_are_left_out(self):
        self.write_tree("happy", "3", "sad")
        self.assert_stated(self.convert("source"), "^.*/source/3: left out: 1 pictures", 0)
        self.assertEqual([3, 4], self.read_labels("train.csv"))

    def test_links_are_followed_and_circles_end(self):
        self.write_tree("train/happy", "train/sad")
        os.rename("source/train/sad", "elsewhere")
        os.symlink(os.path.abspath("elsewhere"), "source/train/sad")
        os.symlink("..", "source/train/happy/up")
        os.symlink(os.path.abspath("source/train/happy"), "elsewhere/fear")
        os.symlink(os.path.abspath("elsewhere"), "source/train/happy/other")
        self.assert_well(self.convert("source"))
        self.assertEqual([2, 3, 3, 4], sorted(self.read_labels("train.csv")))

    def test_a_folder_that_may_not_be_read(self):
        self.write_tree("happy", "sad")
        denied, listdir = os.path.abspath("source/sad"), os.listdir

        def denying_listdir(folder):
            if os.path.abspath(folder) == denied:
                raise PermissionError(13, "Permission denied", folder)
            return listdir(folder)

        with mock.patch.object(os, "listdir", denying_listdir), self.assertRaises(PermissionError) as caught:
            EmotionDetectorUtils.convert("source", "data")
        self.assertEqual(f"{denied}: Permission denied", EmotionDetectorUtils.first_cause(caught.exception))
        self.assertFalse(os.path.exists("data"))

    @helpers.parameterized.parameters((["Training"] * 8 + ["PublicTest", "PrivateTest"] * 2,),
                                      (["train"] * 8 + ["test"] * 4,))
    def test_fer2013(self, usages):
        with open("icml.csv", "wb") as file:
            file.write(data(*[f"{label}, {usage},{text}" for label, usage, text in zip(
                LABELS, usages, TEXTS)], header="emotion, Usage, pixels"))
        self.assert_well(self.convert("icml.csv"))
        rows = list(zip(LABELS.tolist(), PIXELS.tolist()))
        self.assertEqual((rows[:8], rows[8:]), (self.read("train.csv"), self.read("test.csv")))

    def test_nothing_to_convert(self):
        os.mkdir("empty")
        helpers.write_data("plain")
        with open("usage.csv", "wb") as file:
            file.write(data(*[row + ",eval" for row in ROWS], header=HEADER + ",Usage"))
        self.write_tree("test/happy")
        for source, pattern in (("empty", "empty holds no face to train on"),
                                ("plain/train.csv", "has no column Usage"),
                                ("usage.csv", "no face to train on: its column Usage holds eval,"),
                                ("source", "source holds no face to train on"),
                                ("nowhere", "nowhere: No such file")):
            self.assert_stated(self.convert(source), pattern)
            self.assertFalse(os.path.exists("data"))
