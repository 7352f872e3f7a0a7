"""read_data: the arrays, the split, every kind of file; the practice faces; --convert."""
import contextlib
import csv
import hashlib
import io
import itertools
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
    "more cells than columns": (data(*[row + "," for row in ROWS]), 12),
    "a blank line after each row": (data(*ROWS, newline="\r\r\n"), 12),
    "no quotes": (data(*ROWS).replace(b'"', b""), 12),
    "Latin-1 elsewhere": (data(*[row + ",x" for row in ROWS], header=HEADER + ",N").replace(
        b",x", b",\xe9"), 12),
    "ten rows": (data(*ROWS[:10]), 10),
    "old Macs' lines": (data(*ROWS, newline="\r"), 12),
    "another Usage": (data(*[f"{row},{usage}" for row, usage in zip(
        ROWS, ["train"] * 10 + ["test", "val"])], header=HEADER + ",usage"), 10),
}

# What train.csv holds, and what the error says.
BAD = {
    "empty": (b"", "it has no column Emotion"),
    "header only": (data(), "no row follows the first line"),
    "a PNG": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "it has no column"),
    "NUL bytes": (bytes(5000), "it has no column|contains NUL"),
    "UTF-16": (data(*ROWS).decode().encode("utf-16"), "(no column|contains NUL).*UTF-8"),
    "zipped": (b'PK\3\4\x14\0\0\0\x08\0train.csv\n",,"\n"', "unpack it if it is zipped"),
    "a long line": (b"x" * 200_000, "field larger than"),
    "a web page": (b"<!DOCTYPE html>\n<html>", "it has no column .*a web page"),
    "semicolons": (data(*ROWS).replace(b",", b";"), "it has no column Emotion, but 'Emotion;Pixels': rename"),
    "a cell a row": (data(*[f'"{row}"' for row in data(*ROWS).decode().replace('"', "").split("\n")[1:13]]),
                     "face 1: Emotion holds '0,"),
    "no value in each": (data("3,", *[f',"{text}"' for text in TEXTS]), "none of its 13 rows has a value in each"),
    "no Pixels": (data(*ROWS, header="Emotion,Pix"), "it has no column Pixels, but 'Emotion, Pix': rename"),
    "other names": (data(*ROWS, header=' "label",feature '), "it has no column Emotion, but 'label, feature': rename"),
    "a label of blanks": (data(*ROWS, f'"  ","{TEXTS[0]}"'), "face 13: Emotion holds 0 values"),
    "label 7": (data(*ROWS, f'7,"{TEXTS[0]}"'), "face 13: Emotion holds '7', expected .*0 .*6"),
    "label happy": (data(f'happy,"{TEXTS[0]}"', *ROWS), "face 1: Emotion holds 'happy'"),
    "2303 values": (data(ROWS[0], f'0,"{TEXTS[0][:-4].strip()}"', *ROWS),
                    "face 2: Pixels holds 2303 values, expected 48x48 = 2304"),
    "2305 values": (data(*ROWS, changed(0, "1 2")), "face 13: Pixels holds 2305 values"),
    "256": (data(*ROWS, changed(0, 256)), "face 13: Pixels holds '256', .*0 to 255"),
    "-1": (data(changed(0, -1), *ROWS), "face 1: Pixels holds '-1'"),
    "more than 64 bits": (data(changed(0, 2 ** 64 + 1), *ROWS), "face 1: Pixels holds '1844"),
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


TRAIN_HEADER, TEST_HEADER = ["Usage", "pixels", "emotion"], ["emotion", "Id", " Pixels"]


def large_rows(rng):
    """2,500 rows of train.csv, those to train on not first, some with an empty cell; 1,200 of test.csv."""
    rows, test_rows = [], []
    for row in range(2500):
        usage = "PublicTest" if row < 3 else rng.choice(["Training", "PrivateTest", " TRAIN "])
        texts = [" ".join(map(str, rng.randint(0, 256, 2304))) for _ in range(2)]
        labels = [rng.choice(["{}", "{}.0"]).format(rng.randint(7)) for _ in range(2)]
        rows.append([usage, texts[0], labels[0]])
        test_rows += [[labels[1], f"{5000 - row}", texts[1]]] * (row < 1200)
        if rng.rand() < 0.02:
            rows[-1][rng.randint(3)] = ""
    return rows, test_rows


def write_rows(name, header, rows):
    """Write a file with the csv module, whose lines end in CRLF."""
    with open(name, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


class ReadDataTest(helpers.TestCase):

    def test_large_files_against_csv_and_numpy(self):
        """More rows than a piece of the reading has, of mixed Usage, and cells that are empty."""
        rows, test_rows = large_rows(np.random.RandomState(5))
        write_rows("train.csv", TRAIN_HEADER, rows)
        write_rows("test.csv", TEST_HEADER, test_rows)
        whole = [row for row in rows if "" not in row]
        training = [row for row in whole if row[0].strip().lower().startswith("train")]
        order = np.random.RandomState(0).permutation(len(training))
        size = len(training) // 10
        pixels, labels = (np.array([row[column].split() for row in training], np.float32) for column in (1, 2))
        images = (pixels / np.float32(255)).reshape(-1, 48, 48, 1)
        labels = np.eye(7, dtype=np.float32)[labels[:, 0].astype(int)]
        test_pixels = np.array([row[2].split() for row in test_rows], np.float32)
        expected = (images[order[size:]], labels[order[size:]], images[order[:size]], labels[order[:size]],
                    (test_pixels / np.float32(255)).reshape(-1, 48, 48, 1))
        with contextlib.redirect_stderr(io.StringIO()) as errors:
            found = EmotionDetectorUtils.read_data(".")
        for array, values in zip(found, expected, strict=True):
            np.testing.assert_array_equal(values, array)
            self.assertEqual(np.float32, array.dtype)
        self.assertEqual([f": {len(rows) - len(whole)}.", f": {len(whole) - len(training)}."],
                         re.findall(r": \d+\.$", errors.getvalue(), re.MULTILINE))
        found_labels, found_pixels, ids = EmotionDetectorUtils.read_test_set(".")
        self.assertEqual([(float(label), name) for label, name, _ in test_rows], list(zip(found_labels, ids)))
        np.testing.assert_array_equal(test_pixels, found_pixels)

    def test_one_fault_in_large_files(self):
        """The face's number is that of its row, in the last piece, too."""
        rows, test_rows = large_rows(np.random.RandomState(6))
        write_rows("train.csv", TRAIN_HEADER, rows)
        write_rows("test.csv", TEST_HEADER, test_rows)
        for name, header, table, number, column, cell, fault in (
                ("train.csv", TRAIN_HEADER, rows, 2345, 1, "300 1", "Pixels holds '300'"),
                ("test.csv", TEST_HEADER, test_rows, 1111, 1, " ", "no Id"),
                ("test.csv", TEST_HEADER, test_rows, 1200, 2, "", "no pixels")):
            whole, table[number - 1][column] = table[number - 1][column], cell
            write_rows(name, header, table)
            with self.assertRaisesRegex(EmotionDetectorUtils.UserError, f"/{name}, face {number}: {fault}"):
                EmotionDetectorUtils.read_data(".") if table is rows else EmotionDetectorUtils.read_test_set(".")
            table[number - 1][column] = whole

    def test_the_data_is_known_by_the_faces_and_how_they_are_split(self):
        """The whole of a file of more than a megabyte counts, but not its carriage returns; the share does."""
        write_rows("train.csv", TRAIN_HEADER, large_rows(np.random.RandomState(7))[0][:300])
        with open("train.csv", "rb") as file:
            content = file.read()
        self.assertGreater(len(content), 2 << 20)
        self.assertIn(b"\r\n", content)
        digest = f"sha256:{hashlib.sha256(content.replace(bytes([13]), b'')).hexdigest()}"
        for changed, same in ((content, True), (content.replace(b"\r", b""), True), (content[:-3] + b"9\r\n", False),
                              (content.replace(b"\n", b"\n\n", 1), False)):
            with open("train.csv", "wb") as file:
                file.write(changed)
            self.assertEqual(same, EmotionDetectorUtils.data_fingerprint(".") == digest)
            self.assertEqual(f"sha256:{hashlib.sha256(changed).hexdigest()}",
                             EmotionDetectorUtils.data_fingerprint(".", carriage_returns=True))
        for folder in (".", EmotionDetectorUtils.DATA_DIR):
            name = EmotionDetectorUtils.data_fingerprint(folder)
            with mock.patch.object(EmotionDetectorUtils, "VALIDATION_PERCENT", 0.2):
                self.assertRegex(EmotionDetectorUtils.data_fingerprint(folder), f"^{name}.*0.2")

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
        advised = name in ("empty", "a long line", "header only", "a PNG", "NUL bytes", "UTF-16", "zipped", "a web page", "cut off")
        self.assertEqual(advised, "unpack it" in str(caught.exception))

    def test_what_is_left_out_is_counted(self):
        for name, pattern in (("missing values", r"because a value is missing: 4\.\n$"),
                              ("another Usage", r"because their Usage is not Training: 2\.\n$")):
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
        return EmotionDetectorUtils.read_test_set("data")[:2]

    def test_a_broken_link_is_no_missing_test_set(self):
        os.makedirs("data")
        os.symlink("nowhere", "data/test.csv")
        helpers.write_csv("data/train.csv", LABELS, PIXELS)
        self.assert_stated(helpers.train(), "^Error: .*/data/test.csv: it is a link to nothing")

    @helpers.parameterized.parameters(
        ("Pixels", ["{0}", "  ", "{1}"], "\n", 2), ("Pixels", ["{0}", "{1}"], "\r\r\n", 1),
        ("Emotion,Pixels", ["3,{0}", "4,{1}", "", "4,{1}"], "\n", 3), ("Id,Pixels", ["1,{0}", "2,"], "\n", 2))
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

    @helpers.parameterized.parameters("fer2013.csv", "train/angry/1.jpg", "test.csv")
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
        """Where the flag is not given, and here is nothing; the program's own folder, of that name, is no data."""
        helpers.write_data("scripts/EmotionDetector")
        with mock.patch.object(EmotionDetectorUtils, "__file__", os.path.abspath("scripts/U.py")):
            self.assertLen(EmotionDetectorUtils.read_data("EmotionDetector/")[0], 36)
            os.mkdir("EmotionDetector")
            self.assertLen(EmotionDetectorUtils.read_data("EmotionDetector/")[0], 36)
            helpers.write_data(count=50)
            self.assertLen(EmotionDetectorUtils.read_data("data")[0], 45)
            os.rename("data", "EmotionDetector/data")
            self.assertRaisesRegex(EmotionDetectorUtils.UserError, "/EmotionDetector/train.csv is missing: .* holds data",
                                   EmotionDetectorUtils.read_data, "EmotionDetector/")
        with mock.patch.object(EmotionDetectorUtils, "__file__", os.path.abspath("EmotionDetector/U.py")):
            self.assertEqual("practice faces", EmotionDetectorUtils.data_fingerprint("EmotionDetector/"))


class ConvertTest(helpers.TestCase):

    def convert(self, source):
        """Convert in this process; as `helpers.finish`."""
        output, errors, status = io.StringIO(), io.StringIO(), 0
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            try:
                EmotionDetectorUtils.convert(source, "data")
            except (EmotionDetectorUtils.UserError, OSError) as error:
                EmotionDetectorUtils.warn(f"Error: {EmotionDetectorUtils.first_cause(error)}")
                status = 1
        return status, output.getvalue(), errors.getvalue()

    def read(self, name):
        with open(f"data/{name}") as file:
            return [(int(row["Emotion"]), list(map(int, row["Pixels"].split()))) for row in csv.DictReader(file)]

    def read_labels(self, name):
        return [label for label, _ in self.read(name)]

    def write_tree(self, *folders):
        """Write a face into each folder of the source, a different one for each; returns the faces."""
        faces = np.random.RandomState(len(folders)).randint(0, 256, (len(folders), 48, 48)).astype(np.uint8)
        for folder, face in zip(folders, faces):
            os.makedirs(f"source/{folder}", exist_ok=True)
            Image.fromarray(face).save(f"source/{folder}/face.png")
        return faces.reshape(-1, 2304).tolist()

    def test_every_word_in_a_large_tree(self):
        """Each word for an emotion beside each for a file, in any case, with punctuation and digits, at any depth."""
        label_of = {"anger": 0, "angry": 0, "disgust": 1, "disgusted": 1, "fear": 2, "fearful": 2, "afraid": 2,
                    "scared": 2, "happy": 3, "happiness": 3, "joy": 3, "sad": 4, "sadness": 4, "surprise": 5,
                    "surprised": 5, "neutral": 6}
        file_of = {**dict.fromkeys(["", "train", "training"], "train.csv"), **dict.fromkeys(
            ["test", "tests", "testing", "testset", "val", "valid", "validate", "validation", "eval", "evaluation",
             "dev", "holdout", "publictest", "privatetest"], "test.csv")}
        rng = np.random.RandomState(8)
        styles = ("{}", "3_{}", "{}-1", "({}) 2019", "_{}.", "12 {}")
        folders, names, labels = [], [], []
        for number, (word, usage) in enumerate(itertools.product(label_of, file_of)):
            word_here, usage_here = (rng.choice(styles).format(rng.choice([text, text.upper(), text.title()]))
                                     for text in (word, usage))
            other, outer = rng.choice(list(label_of)), rng.choice(["Testimony", "TRAIN", "valencia", "validation 7"])
            folders.append(os.path.normpath(f"{outer}/{number}/" + rng.choice([
                f"{other}/{usage_here}/{word_here}", f"{word_here}/{usage_here}/person {number}",
                f"train {usage_here} {word_here}", f"{word_here}, {usage_here}/Contest {number}/{number}"])))
            held_out = not usage and outer == "validation 7" and "train" not in folders[-1]
            names.append("test.csv" if held_out else file_of[usage])
            labels.append(label_of[word])
        faces = self.write_tree(*folders)
        status, output, errors = self.convert("source")
        self.assertEqual((0, ""), (status, errors))
        for name in ("train.csv", "test.csv"):
            expected = sorted((label, face) for label, face, where in zip(labels, faces, names) if where == name)
            self.assertEqual(expected, sorted(self.read(name)))
            self.assertIn(f"/data/{name}: {len(expected)} faces\n", output)
        for folder, name, label in zip(folders, names, labels):
            emotion = EmotionDetectorUtils.EMOTIONS[label]
            self.assertTrue(f"{os.getcwd()}/source/{folder}: 1 faces, {emotion} -> {name}\n" in output, folder)

    def test_what_is_left_out_is_told(self):
        self.write_tree("train/angry", "train/contempt")
        for name in ("broken.png", "Thumbs.db", "a.HEIC", "noending", ".DS_Store"):
            open(f"source/train/angry/{name}", "w").close()
        source = re.escape(os.path.abspath("source/train"))
        status, output, errors = self.convert("source")
        self.assertEqual(0, status)
        self.assertRegex(errors, rf"^{source}/angry: left out: 1 \.db, 1 \.heic, 1 without an ending\.\n"
                         f"{source}/contempt: left out: 1 pictures, since [^\n]* is named anger, [^\n]*\n"
                         f"Left out: {source}/angry/broken.png [^\n]*\n$")
        self.assertIn("/source/train/angry: 1 faces, anger -> train.csv\n", output)

    def test_folders_directly(self):
        for folder, colour in (("happy", "white"), ("sad", "black")):
            os.makedirs(f"source/{folder}")
            Image.new("RGB", (96, 120), colour).save(f"source/{folder}/face.jpg")
        result = helpers.finish(helpers.start_script("EmotionDetectorUtils.py", "--convert=source", "--data_dir=data"))
        self.assert_well(result)
        self.assertEqual([(3, [255] * 2304), (4, [0] * 2304)], self.read("train.csv"))
        self.assertEqual(["train.csv"], os.listdir("data"))

    def test_faces_that_are_there_twice_are_counted(self):
        faces = self.write_tree("train/happy", "test/happy", "train/sad", "sad")
        for number, folder in enumerate(("copy/train/happy", "copy/test/happy", "copy/2/test/happy")):
            os.makedirs(f"source/{folder}")
            shutil.copy("source/train/happy/face.png" if number else "source/sad/face.png", f"source/{folder}")
        self.assert_stated(self.convert("source"), "/source: faces .* more than once, pixel for pixel: 3 too many", 0)
        self.assertEqual(7, len(self.read("train.csv") + self.read("test.csv")))
        self.assertIn((3, faces[3]), self.read("train.csv"))

    @helpers.parameterized.parameters(
        [f"DATASET/{part}/{number}" for part in ("train", "test") for number in range(1, 8)],
        [str(number) for number in range(7)], ["train/0", "train/12"], ["Contest/0", "1"])
    def test_numbers_say_no_emotion(self, *folders):
        self.write_tree(*folders)
        open(f"source/{folders[0]}/Thumbs.db", "w").close()
        self.assert_stated(self.convert("source"), "^Error: .*/source has folders named .*FER2013: 0 anger, 1 "
                           "disgust, .* 6 neutral.*Rename each to its emotion in words")
        self.assertFalse(os.path.exists("data"))

    def test_numbers_beside_words_are_left_out(self):
        self.write_tree("happy", "3", "sad")
        self.write_tree("happy, sad", "not happy")
        status, _, errors = self.convert("source")
        self.assertEqual((0, ["3", "happy, sad", "not happy"]),
                         (status, re.findall("/source/(.*): left out: 1 pictures, since ", errors)))
        self.assertEqual([3, 4], self.read_labels("train.csv"))

    def test_links_are_followed_and_circles_end(self):
        self.write_tree("train/happy", "train/sad")
        os.rename("source/train/sad", "elsewhere")
        os.symlink(os.path.abspath("elsewhere"), "source/train/sad")
        os.symlink("..", "source/train/happy/up")
        os.symlink(os.path.abspath("source/train/happy"), "elsewhere/fear")
        os.symlink(os.path.abspath("elsewhere"), "source/train/happy/other")
        self.assert_stated(self.convert("source"), "more than once, pixel for pixel: 2 too many", 0)
        self.assertEqual([2, 3, 3, 4], sorted(self.read_labels("train.csv")))

    def test_a_folder_that_may_not_be_read(self):
        self.write_tree("happy", "sad")
        denied, listdir = os.path.abspath("source/sad"), os.listdir

        def denying_listdir(folder):
            if os.path.abspath(folder) == denied:
                raise PermissionError(13, "Permission denied", folder)
            return listdir(folder)

        with mock.patch.object(os, "listdir", denying_listdir):
            self.assert_stated(self.convert("source"), f"^Error: {denied}: Permission denied")
        self.assertFalse(os.path.exists("data"))

    def test_what_is_there_already_is_kept_and_nothing_is_written_for_nothing(self):
        self.write_tree("train/happy", "test/sad")
        for name in ("test.csv", "train.csv"):
            os.makedirs("data")
            os.symlink("nowhere", f"data/{name}")
            self.assert_stated(self.convert("source"), f"^Error: .*/data/{name} is there already")
            self.assertEqual([name], os.listdir("data"))
            shutil.rmtree("data")
        open("source/train/happy/face.png", "w").close()
        status, _, errors = self.convert("source")
        self.assertEqual(1, status)
        self.assertRegex(errors, "^Left out: .*face.png cannot be read .*\nError: .*/source: none of its pictures to "
                         "train on can be read.\n$")
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
