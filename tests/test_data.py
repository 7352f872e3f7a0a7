"""read_data: the arrays, the split, every kind of file; the practice faces."""
import csv
import hashlib
import os
import sys
from unittest import mock

import helpers
import numpy as np

import EmotionDetector
import EmotionDetectorUtils

LABELS, PIXELS = helpers.faces(12)
TEXTS = [" ".join(map(str, row)) for row in PIXELS]
ROWS = [f'{label},"{text}"' for label, text in zip(LABELS, TEXTS)]
HEADER = "Emotion,Pixels"


def data(*rows, header=HEADER, newline="\n"):
    """The bytes of a data file."""
    return newline.join((header, *rows, "")).encode()


def changed(row, first):
    """A row whose first pixel is another."""
    return f'{LABELS[row]},"{first} {TEXTS[row].split(" ", 1)[1]}"'


def large_rows(rng):
    """Rows of train.csv, those to train on not first, some with an empty cell; half as many of test.csv."""
    rows, test_rows = [], []
    for row in range(700):
        usage = "PublicTest" if row < 3 else rng.choice(["Training", "PrivateTest", " TRAIN ", "Trainer"])
        texts = [" ".join(map(str, rng.randint(0, 256, 2304))) for _ in range(2)]
        labels = [rng.choice(["{}", "{}.0"]).format(rng.randint(7)) for _ in range(2)]
        rows.append([usage, texts[0], labels[0]])
        test_rows += [[labels[1], f"{5000 - row}", texts[1]]] * (row < 350)
        if rng.rand() < 0.02:
            rows[-1][rng.randint(3)] = ""
    return rows, test_rows


# What train.csv holds, of which twelve faces are read.
GOOD = {
    "missing values": data(*ROWS, f',"{TEXTS[0]}"', "3,", "4", f'NaN,"{TEXTS[0]}"'),
    "byte-order mark": b"\xef\xbb\xbf" + data(*ROWS),
    "blank lines at the end": data(*ROWS, "", "", ""),
    "more cells than columns": data(*[row + "," for row in ROWS]),
    "a blank line after each row": data(*ROWS, newline="\r\r\n"),
    "no quotes": data(*ROWS).replace(b'"', b""),
    "Latin-1 elsewhere": data(*[row + ",x" for row in ROWS], header=HEADER + ",N").replace(b",x", b",\xe9")}
# What train.csv holds, and what the error says: of files that are no table of faces, and of faces at fault.
NO_TABLE = {
    "empty": (b"", "No columns to parse"), "a PNG": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "its first line is"),
    "UTF-16": (data(*ROWS).decode().encode("utf-16"), "."), "zipped": (b'PK\3\4\x14\0\0\0\x08\0x.csv\n",,"\n"', "."),
    "a web page": (b"<!DOCTYPE html>\n<html>", "its first line is '<!DOCTYPE html>'"), "git-lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "its first line is 'version http"),
    "semicolons": (data(*ROWS).replace(b",", b";"), "its first line is 'Emotion;Pixels'"),
    "sep=,": (b"sep=,\n" + data(*ROWS), "."), "no first line": (data(*ROWS, header=ROWS[0]), TEXTS[0][:58] + "'"),
    "other names": (data(*ROWS, header=' "label",feature '), "its first line is 'label,feature '"),
    "cut off": (data(*ROWS)[:-3000], "EOF inside string starting at row 12")}
BAD = {
    "no value in each": (data("3,", *[f',"{text}"' for text in TEXTS]), "no face to train on"),
    "all for testing": (data(*[row + ",PublicTest" for row in ROWS], header=HEADER + ",Usage"), "no face to train on"),
    "nine rows": (data(*ROWS[:9]), "holds 9 faces to train on, expected at least 10"),
    "a label of blanks": (data(*ROWS, f'"  ","{TEXTS[0]}"'), "face 13: Emotion holds 0 values"),
    "label 7": (data(*ROWS, f'7,"{TEXTS[0]}"'), "face 13: Emotion holds '7', expected .*0 .*6"),
    "2303 values": (data(ROWS[0], f'0,"{TEXTS[0][:-4].strip()}"', *ROWS), "face 2: Pixels holds 2303 values, expected"),
    "2305 values": (data(*ROWS, changed(0, "1 2")), "face 13: Pixels holds 2305 values"),
    "256": (data(*ROWS, changed(0, "255 256")), "face 13: Pixels holds '256', .*0 to 255"),
    "-1": (data(changed(0, -1), *ROWS), "face 1: Pixels holds '-1'"),
    "more than 64 bits": (data(changed(0, 10 ** 20 + 1), *ROWS), f"face 1: Pixels holds '{10 ** 19}',"),
    "cut off, no quotes": (data(*ROWS).replace(b'"', b"")[:-3000], "face 12: Pixels holds .* values")}


class ReadDataTest(helpers.TestCase):
    def test_large_files_against_csv_and_numpy(self):
        rows, test_rows = large_rows(np.random.RandomState(5))
        with open("train.csv", "w", newline="") as train_file, open("test.csv", "w", newline="") as test_file:
            csv.writer(train_file).writerows([["Usage", "pixels", "emotion"], *rows])
            csv.writer(test_file).writerows([["emotion", "Id", " Pixels"], *test_rows])
        whole = [row for row in rows if "" not in row]
        training = [row for row in whole if row[0].strip().lower().startswith("train")]
        order, size = np.random.RandomState(0).permutation(len(training)), len(training) // 10
        pixels, labels = (np.array([row[column].split() for row in training], np.float32) for column in (1, 2))
        images = (pixels / np.float32(255)).reshape(-1, 48, 48, 1)
        labels = np.eye(7, dtype=np.float32)[labels[:, 0].astype(int)]
        test_pixels = np.array([row[2].split() for row in test_rows], np.float32)
        expected = (images[order[size:]], labels[order[size:]], images[order[:size]], labels[order[:size]],
                    (test_pixels / np.float32(255)).reshape(-1, 48, 48, 1))
        for array, values in zip(EmotionDetectorUtils.read_data("."), expected, strict=True):
            np.testing.assert_array_equal(values, array)
            self.assertEqual(np.float32, array.dtype)
        told = {"a value is missing": len(rows) - len(whole), "their Usage is not Training": len(whole) - len(training)}
        self.assertEqual("".join(f"{self.folder}/train.csv: rows left out because {why}: {count}.\n"
                                 for why, count in told.items()), sys.stderr.getvalue())
        found_labels, found_pixels, ids = EmotionDetectorUtils.read_test_set(".")
        self.assertEqual([(float(label), name) for label, name, _ in test_rows], list(zip(found_labels, ids)))
        np.testing.assert_array_equal(test_pixels, found_pixels)

    @helpers.cases(*GOOD)
    def test_a_good_file(self, name):
        helpers.write("train.csv", GOOD[name])
        train_images, train_labels, valid_images, _, test_images = EmotionDetectorUtils.read_data(".")
        self.assertEqual([11, 1, 0], [len(train_images), len(valid_images), len(test_images)])
        order = np.random.RandomState(0).permutation(12)[1:]
        np.testing.assert_array_equal(LABELS[order], train_labels.argmax(axis=1))
        np.testing.assert_array_equal(PIXELS[order], np.rint(train_images * 255).reshape(-1, 2304))

    @helpers.cases(*NO_TABLE)
    def test_a_file_that_is_no_table_of_faces(self, name):
        content, pattern = NO_TABLE[name]
        helpers.write("train.csv", content)
        with self.assert_user_error(f"^{self.folder}/train.csv: .*{pattern}.*Expected a CSV file with Emotion and "
                                    "Pixels .*unpack .*download .*rename its columns.$"):
            EmotionDetectorUtils.read_data(".")

    @helpers.cases(*BAD)
    def test_a_bad_file(self, name):
        content, pattern = BAD[name]
        helpers.write("train.csv", content)
        with self.assert_user_error(f"^{self.folder}/train.csv.*{pattern}"):
            EmotionDetectorUtils.read_data(".")

    def test_the_book_s_constants_are_those_that_cut_the_data(self):
        for name in ("IMAGE_SIZE", "NUM_LABELS", "VALIDATION_PERCENT"):
            self.assertEqual(getattr(EmotionDetector, name), getattr(EmotionDetectorUtils, name))
        self.assertEqual(EmotionDetector.FLAGS["data_dir"].default, EmotionDetectorUtils.DATA_DIR)

    def test_faces_that_are_there_already_are_counted(self):
        """Over both files, against a dictionary, on random choices of faces; none of 12 that are chosen once."""
        expected, faces = "", PIXELS.copy()
        faces[3] = faces[4] + np.eye(2304, dtype=int)[-1]  # that differs in one pixel is another
        for choice in np.arange(12), *np.random.RandomState(3).randint(0, 12, (5, 19)):
            helpers.write_csv("train.csv", LABELS[choice[:-1]] % 2, faces[choice[:-1]])
            helpers.write_csv("test.csv", None, faces[choice[-1:]])
            if count := len(choice) - len(dict.fromkeys(choice)):
                expected += f"{self.folder}: {count} duplicates. .*remove it.\n"
            EmotionDetectorUtils.read_data(".")
        self.assertRegex(sys.stderr.getvalue(), f"^{expected}$")


class TestSetTest(helpers.TestCase):
    def read(self, header, rows, newline="\n"):
        """Read a test set of these rows, in which numbers stand for faces, beside a good train.csv."""
        helpers.write_csv("data/train.csv", LABELS, PIXELS // 2)
        helpers.write("data/test.csv", data(*[row.format(*TEXTS) for row in rows], header=header, newline=newline))
        EmotionDetectorUtils.read_data("data")
        return EmotionDetectorUtils.read_test_set("data")

    @helpers.cases(
        ("Pixels", ["{0}", "  ", "{1}"], "\n", 2), ("Pixels", ["{0}", "{1}"], "\r\r\n", 1),
        ("Emotion,Pixels", ["3,{0}", "4,{1}", "", "4,{1}"], "\n", 3), ("Id,Pixels", ["1,{0}", "2,"], "\n", 2))
    def test_a_row_without_a_face_is_an_error(self, header, rows, newline, number):
        """Dropped, it would give each answer after it the Id of another face."""
        with self.assert_user_error(f"data/test.csv, face {number}: Pixels holds 0 values"):
            self.read(header, rows, newline)

    @helpers.cases(
        ("Pixels", ["{0}", "{1}", "{2}"], None, [1, 2, 3]), ("Pixels", ["{0}", "{1}", "{2}", "", ""], None, [1, 2, 3]),
        ("Id,Pixels", ["9,{0}", "7,{1}", "8,{2}", ""], None, ["9", "7", "8"]),
        ("Emotion,Pixels", ["3,{0}", ",{1}", "4,{2}"], None, [1, 2, 3]),
        ("Emotion,Pixels", ["3,{0}", "1,{1}", "0,{2}"], [3, 1, 0], [1, 2, 3]))
    def test_labels_count_if_all_are_there_and_ids_are_those_of_the_file_or_counted(self, header, rows, labels, ids):
        found, pixels, found_ids = self.read(header, rows)
        self.assertEqual((labels, ids), (found if found is None else found.tolist(), list(found_ids)))
        np.testing.assert_array_equal(PIXELS[:3], pixels)


class PracticeFacesTest(helpers.TestCase):
    @helpers.cases((4178, 0, [579, 574, 590, 667, 580, 605, 583], "14dfacca412251d9"),
                   (1312, 1, [186, 180, 194, 185, 188, 190, 189], "4068be21648f3b6b"))
    def test_they_are_the_same_on_every_machine(self, count, seed, labels_of_each, digest):
        labels, pixels = EmotionDetectorUtils.draw_faces(count, seed)
        self.assertEqual(labels_of_each, np.bincount(labels).tolist())
        self.assertEqual(digest, hashlib.sha256(pixels).hexdigest()[:16])

    def test_a_default_folder_that_is_absent_or_empty_gives_them_in_the_book_s_sizes(self):
        drawn = {seed: helpers.faces(count, seed) for count, seed in ((4178, 0), (1312, 1))}
        with mock.patch.object(EmotionDetectorUtils, "draw_faces", lambda count, seed: drawn[seed]):
            EmotionDetectorUtils.read_data("EmotionDetector/")
            os.mkdir("EmotionDetector")
            EmotionDetectorUtils.read_data("EmotionDetector/")
            helpers.write("EmotionDetector/.DS_Store", "")
            arrays = EmotionDetectorUtils.read_data("EmotionDetector/")
            labels, pixels, ids = EmotionDetectorUtils.read_test_set("EmotionDetector/")
        self.assertEqual([3761, 3761, 417, 417, 1312], list(map(len, arrays)))
        _, _, valid_images, valid_labels, test_images = arrays
        order = np.random.RandomState(0).permutation(4178)[:417]
        np.testing.assert_array_equal(drawn[0][0][order], valid_labels.argmax(axis=1))
        np.testing.assert_array_equal(EmotionDetectorUtils.to_images(drawn[0][1][order]), valid_images)
        np.testing.assert_array_equal(EmotionDetectorUtils.to_images(pixels), test_images)
        np.testing.assert_array_equal(drawn[1][0], labels)
        self.assertEqual([*range(1, 1313)], list(ids))

    @helpers.cases(("fer2013.csv", "fer2013.csv"), ("train/angry/1.jpg", "train"), ("a b c d e f", "a, b, c, d, e"))
    def test_the_default_folder_that_holds_something(self, names, expected):
        for name in names.split():
            helpers.write(f"EmotionDetector/{name}", "")
        self.assert_stated(helpers.run_script(EmotionDetector, "--logs_dir=logs"), f"^Error: {self.folder}/Emotion"
                           f"Detector/train.csv is missing: its folder holds {expected}[.].*--convert")

    @helpers.cases("EmotionDetector/", "EmotionDetector", "elsewhere", "data/train.csv", "~/no such folder")
    def test_a_named_folder_never_falls_back(self, folder):
        path = os.path.abspath(os.path.expanduser(folder))
        self.assert_stated(helpers.run_script(EmotionDetector, f"--data_dir={folder}"),
                           f"^Error: {path}/train.csv is missing: its folder holds nothing[.].*Second-Edition.*kaggle")
        self.assertEqual([], os.listdir("."))


class FingerprintTest(helpers.TestCase):
    """A model's data are the faces as read, and how they are split."""

    def fingerprint(self, content):
        helpers.write("train.csv", content)
        return EmotionDetectorUtils.data_fingerprint(".", *EmotionDetectorUtils.read_data(".")[:4])

    def test_another_form_of_the_same_faces_is_no_other_data(self):
        expected = self.fingerprint(data(*ROWS))
        for name in ("byte-order mark", "blank lines at the end", "no quotes", "missing values"):
            self.assertEqual(expected, self.fingerprint(GOOD[name]), name)

    def test_another_pixel_label_order_or_share_is_other_data(self):
        others = [self.fingerprint(data(*ROWS)), self.fingerprint(data(*ROWS[::-1]))]
        for row in range(12):
            for new in changed(row, 251), f'{(LABELS[row] + 1) % 7},"{TEXTS[row]}"':
                others.append(self.fingerprint(data(*ROWS[:row], new, *ROWS[row + 1:])))
        with mock.patch.object(EmotionDetectorUtils, "VALIDATION_PERCENT", 0.2):
            others.append(self.fingerprint(data(*ROWS)))
        self.assertLen(set(others), len(others))
