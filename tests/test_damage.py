"""Bad data, damaged files, full disks, signals and kills: each ends in a sentence, or works."""
import collections
import functools
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest
from unittest import mock

import helpers
import numpy as np
import tensorflow.compat.v1 as tf
from absl.testing import parameterized
from PIL import Image

import EmotionDetector
import EmotionDetectorTest
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


# What train.csv holds, and what the error must say (None: it trains on so many faces).
DATA_FILES = {
    "empty": (b"", r"is empty"),
    "blank lines": (b"\n\n \n", r"is empty"),
    "byte-order mark alone": (b"\xef\xbb\xbf", r"is empty"),
    "header only": (data(), r"line 1: no row"),
    "a PNG": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", r"not a CSV file.*PNG"),
    "NUL bytes": (bytes(5000), r"not a CSV file.*no text"),
    "UTF-16": (data(*ROWS).decode().encode("utf-16"), r"UTF-16"),
    "a web page": (b"<!DOCTYPE html><html>", r"web page"),
    "no Pixels": (data(*ROWS, header="Emotion,Pix"), r"no column Pixels among emotion, pix"),
    "no Emotion": (data(*ROWS, header="Label,Pixels"), r"no column Emotion among label, pixels"),
    "label 7": (data(*ROWS, f'7,"{TEXTS[0]}"'), r"line 14: Emotion is '7', .*0 .*6"),
    "label -1": (data(*ROWS, f'-1,"{TEXTS[0]}"', *ROWS), r"line 14: Emotion is '-1'"),
    "label 2.5": (data(f'2.5,"{TEXTS[0]}"', *ROWS), r"line 2: Emotion is '2.5'"),
    "label happy": (data(f'happy,"{TEXTS[0]}"', *ROWS), r"line 2: Emotion is 'happy'"),
    "2303 values": (data(ROWS[0], f'0,"{TEXTS[0][:-4].strip()}"', *ROWS),
                    r"line 3: Pixels holds 2303 values, expected 48x48 = 2304\.\n"),
    "2305 values": (data(*ROWS, changed(0, "1 2")), r"line 14: Pixels holds 2305 values"),
    "256": (data(*ROWS, changed(0, 256)), r"line 14: Pixels holds '256', .*0 to 255\.\n"),
    "-1": (data(changed(0, -1), *ROWS), r"line 2: Pixels holds '-1'"),
    "12.5": (data(changed(0, 12.5), *ROWS), r"line 2: Pixels holds '12.5'"),
    "abc": (data(changed(0, "abc"), *ROWS), r"line 2: Pixels holds 'abc'"),
    "65537 is not 1": (data(changed(0, 2 ** 64 + 1), *ROWS), r"line 2: Pixels holds '1844"),
    "a line after a cell of two lines": (
        data(*[f'1,"a\nb",{TEXTS[0]}'] * 3, f"9,c,{TEXTS[0]}", header="Emotion,Note,Pixels"),
        r"line 8: Emotion is '9'"),
    "cut off": (data(*ROWS)[:-3000], r"line 13: .*ends early, after 11 whole rows"),
    "cut off, no quotes": (data(*ROWS).replace(b'"', b"")[:-3000],
                           r"line 13: .*ends early, after 11 whole rows"),
    "nine rows": (data(*ROWS[:9]), r"holds 9 faces, expected at least 10"),
    "missing values": (data(*ROWS, f',"{TEXTS[0]}"', "3,", "4", f'NaN,"{TEXTS[0]}"', *ROWS), 24),
    "byte-order mark": (b"\xef\xbb\xbf" + data(*ROWS), 12),
    "CRLF": (data(*ROWS, newline="\r\n"), 12),
    "blank lines at the end": (data(*ROWS, "", "", ""), 12),
    "no newline at the end": (data(*ROWS, end=False), 12),
    "further columns": (data(*[row + ',Training,"x, y"' for row in ROWS],
                             header=HEADER + ",Usage,Note"), 12),
    "lower-case header": (data(*ROWS, header="emotion, pixels"), 12),
    "no quotes": (data(*ROWS).replace(b'"', b""), 12),
    "Latin-1 elsewhere": (data(*[row + ",x" for row in ROWS], header=HEADER + ",N").replace(
        b",x", b",\xe9"), 12),
    "ten rows": (data(*ROWS[:10]), 10),
}

BOX = "1,1,9,9"
# What an image file holds, and what the error must say (None: it is classified).
IMAGES = {
    "missing.png": (None, "No such file"),
    "empty.jpg": (b"", "no picture"),
    "text.jpg": (b"hello\n" * 100, "no picture"),
    "half.jpg": ("half", "truncated"),
    "half.png": ("half", "cannot be read as a picture"),
    "picture.tiff": ("whole", "no picture, or of another kind"),
    "large.png": ((20000, 20000), "400000000 pixels"),
    "bomb.png": ((15000, 7000), "105000000 pixels.*bomb"),
    "dot.png": ((1, 1), None),
    "line.png": ((1, 5000), None),
    "with a space.png": ("whole", None),
    "\u00fcml\u00e4ut-\u7b11.webp": ("whole", None),
    "-dash.png": ("whole", None),
}


TRIED, ENDED = collections.Counter(), collections.Counter()


class Counted(helpers.TestCase, parameterized.TestCase):
    """Counts, for the line at the end, the inputs of a kind and those that ended as they should."""

    def count(self, kind, check):
        """Run a check, counting it."""
        TRIED[kind] += 1
        check()
        ENDED[kind] += 1

    def assert_stated(self, result, pattern, status=1):
        """One sentence on standard error, and the exit status."""
        found, _, errors = result
        self.assertEqual(status, found, errors)
        self.assertRegex(errors, pattern)
        self.assertNotIn("Traceback", errors)
        self.assertEqual(1, errors.count("\n"), errors)


def tearDownModule():
    for kind, tried in TRIED.items():
        print(f"{kind}: {tried} inputs tried, {ENDED[kind]} ended as they should")


def train(*args):
    return helpers.run_script(EmotionDetector, "--data_dir=data", "--logs_dir=logs", *args)


class DataFilesTest(Counted):

    @parameterized.parameters(*DATA_FILES)
    def test_train_csv(self, name):
        content, expected = DATA_FILES[name]
        os.mkdir("data")
        with open("data/train.csv", "wb") as file:
            file.write(content)

        def check():
            if isinstance(expected, int):
                status, output, errors = train("--max_iterations=1")
                self.assertEqual(0, status, errors)
                self.assertIn(f"Train size: {expected - expected // 10}\n", output)
                self.assertEqual("dropped" in errors, expected == 24)
                if expected == 24:
                    self.assertIn("missing: 4.", errors)
            else:
                self.assert_stated(train(), "^Error: data/train.csv.*" + expected)
                self.assertEqual({"data/train.csv": content}, helpers.contents("data", "logs"))
        self.count("data files", check)

    def test_128_rows_train(self):
        helpers.write_data("data", count=142)  # 128 of them to train on
        self.count("data files", lambda: self.assertEqual(0, train("--max_iterations=2")[0]))

    def test_test_csv_is_checked_too(self):
        helpers.write_data("data")
        with open("data/test.csv", "a") as file:
            file.write("1 2 3\n")
        self.count("data files", lambda: self.assert_stated(
            train(), r"data/test.csv, line 11: Pixels holds 3 values"))

    @parameterized.parameters("absent", "file", "empty")
    def test_no_train_csv(self, kind):
        if kind == "file":
            open("data", "w").close()
        elif kind == "empty":
            os.mkdir("data")
        path = os.path.join(os.getcwd(), "data", "train.csv")
        self.count("data files", lambda: self.assert_stated(
            train(), f"^Error: {re.escape(path)}: .*https://"))

    def test_test_csv_alone_in_the_default_folder(self):
        helpers.write_csv("EmotionDetector/test.csv", None, PIXELS)
        self.count("data files", lambda: self.assert_stated(
            helpers.run_script(EmotionDetector, "--logs_dir=logs"), "train.csv: No such file"))

    def test_no_permission_to_read(self):
        helpers.write_data("data")
        os.chmod("data/train.csv", 0)
        with helpers.unprivileged():
            self.count("data files", lambda: self.assert_stated(
                train(), "data/train.csv cannot be read .Permission denied"))


class CacheTest(Counted):

    def setUp(self):
        super().setUp()
        helpers.write_data("data")
        self.arrays = EmotionDetectorUtils.read_data("data")
        self.cache = "data/EmotionDetectorData.npz"
        with open(self.cache, "rb") as file:
            self.content = file.read()

    def assert_read(self):
        for found, expected in zip(EmotionDetectorUtils.read_data("data"), self.arrays):
            np.testing.assert_array_equal(found, expected)

    @parameterized.parameters("truncated", "empty", "flipped", "another version", "pickle", "npy")
    def test_damaged(self, kind):
        if kind == "pickle":
            content = pickle.dumps(Trap())
        elif kind == "npy":
            np.save("array.npy", np.zeros(3))
            content = helpers.contents(".")["./array.npy"]
        else:
            middle = len(self.content) // 2
            content = {"truncated": self.content[:middle], "empty": b"",
                       "flipped": self.content[:middle] + bytes(9) + self.content[middle + 9:],
                       "another version": self.content}[kind]
        with open(self.cache, "wb") as file:
            file.write(content)
        version = 2 if kind == "another version" else 1

        def check():
            with (mock.patch.object(EmotionDetectorUtils, "CACHE_VERSION", version),
                  mock.patch.object(EmotionDetectorUtils, "notice")):
                self.assert_read()
            self.assertFalse(os.path.exists("sprung"))
            self.assertNotEqual(content, helpers.contents("data")[self.cache])
        self.count("cache", check)

    def test_read_only_folder(self):
        os.remove(self.cache)
        os.chmod("data", 0o555)
        before = helpers.contents("data")

        def check():
            with helpers.unprivileged():
                status, output, errors = train("--max_iterations=1")
            self.assertEqual(0, status, errors)
            self.assertIn("Train size: 36", output)
            self.assertRegex(errors, r"^The faces were not cached: .*Permission denied")
            self.assertEqual(before, helpers.contents("data"))
        self.count("cache", check)

    def test_full_disk(self):
        os.remove(self.cache)
        before = helpers.contents("data")

        def check():
            with (helpers.file_size_limit(10000),
                  mock.patch.object(EmotionDetectorUtils, "notice") as notice):
                self.assert_read()
            self.assertRegex(notice.call_args.args[0], "not cached: .*File too large")
            self.assertEqual(before, helpers.contents("data"))
        self.count("cache", check)

    def test_two_runs_at_once(self):
        os.remove(self.cache)
        found = []
        threads = [threading.Thread(target=lambda: found.append(
            EmotionDetectorUtils.read_data("data"))) for _ in range(4)]

        def check():
            with mock.patch.object(os, "getpid", side_effect=range(4)):
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            self.assertEqual(4, len(found))
            self.assertEqual(["EmotionDetectorData.npz", "test.csv", "train.csv"],
                             helpers.names("data"))
            self.assert_read()
        self.count("cache", check)


class Trap:
    """A pickle that leaves a file when it is loaded."""

    def __reduce__(self):
        return os.mkdir, ("sprung",)


class LogsTest(Counted):

    def setUp(self):
        super().setUp()
        helpers.write_data("data")

    def model(self):
        """Train a model and return what its folder holds."""
        self.assertEqual(0, train("--max_iterations=1")[0])
        Image.new("L", (48, 48)).save("face.png")
        return helpers.contents("logs")

    def assert_all_state(self, pattern, before):
        """Training on, testing and classifying state one error and change no file."""
        for module, args in ((EmotionDetector, ["--max_iterations=2"]),
                             (EmotionDetector, ["--mode=test"]),
                             (EmotionDetectorTest, ["face.png"])):
            if module is EmotionDetector:
                args.append("--data_dir=data")
            self.assert_stated(helpers.run_script(module, "--logs_dir=logs", *args), pattern)
            self.assertEqual(before, helpers.contents("logs"))

    @parameterized.product(
        name=("checkpoint", "model.ckpt-0.index", "model.ckpt-0.data-00000-of-00001",
              "model.ckpt-0.meta"),
        damage=("missing", "empty", "truncated", "random"))
    def test_damaged(self, name, damage):
        before = self.model()
        path = os.path.join("logs", name)
        size = len(before[path])
        os.remove(path)
        if (name, damage) == ("checkpoint", "missing"):  # found by its number instead
            self.count("logs", lambda: self.assertIn(
                "Model Restored!", train("--max_iterations=2")[1]))
            return
        if damage != "missing":
            content = {"empty": b"", "truncated": before[path][:size // 2],
                       "random": np.random.RandomState(0).bytes(size)}[damage]
            with open(path, "wb") as file:
                file.write(content)
        word = "missing" if damage == "missing" else "damaged"
        self.count("logs", lambda: self.assert_all_state(
            f"^Error: {re.escape(path)} is {word}: .*another --logs_dir", helpers.contents("logs")))

    @parameterized.parameters(({"W_conv1": [3, 3, 1, 32]}, r"W_conv1 is \[3, 3, 1, 32\], expected"),
                              ({"kernel": [5, 5, 1, 32]}, "is missing, expected"))
    def test_another_network(self, variables, pattern):
        with tf.Graph().as_default(), tf.Session() as sess:
            tf.placeholder(tf.float32, [None, 48, 48, 1], name="input")
            tf.zeros([1, 7], name="output")
            for name, shape in ({"Variable": []} | variables).items():
                tf.get_variable(name, shape, tf.int32 if not shape else tf.float32)
            sess.run(tf.global_variables_initializer())
            os.mkdir("logs")
            tf.train.Saver().save(sess, "logs/model.ckpt", global_step=0)
        before = helpers.contents("logs")

        def check():
            for mode in ("train", "test"):
                self.assert_stated(train(f"--mode={mode}"),
                                   "logs/model.ckpt-0 is of another network: .*" + pattern)
                self.assertEqual(before, helpers.contents("logs"))
        self.count("logs", check)

    @parameterized.parameters("file", "below a file", "not writable")
    def test_logs_dir(self, kind):
        folder = "place"
        if kind == "not writable":
            os.mkdir("place", 0o555)
        else:
            open("place", "w").close()
            folder = "place/logs" if kind == "below a file" else "place"

        def check():
            with helpers.unprivileged():
                result = train(f"--logs_dir={folder}")
            self.assert_stated(result, f"^Error: {folder} (cannot be made|is no folder)")
            self.assertNotIn("Loss", result[1])
        EmotionDetectorUtils.read_data("data")
        self.count("logs", check)

    def test_full_disk_while_a_checkpoint_is_written(self):
        before = self.model()

        def check():
            with helpers.file_size_limit(10_000_000):
                self.assert_stated(train("--max_iterations=2"),
                                   "^Error: logs/model.ckpt-1 cannot be saved .*File too large")
            self.assertEqual([], helpers.changed(before, "logs"))
            self.assertEqual([], [path for path in helpers.contents("logs")
                                  if path not in before and "tfevents" not in path])
            self.assertIn("Model Restored!", train("--max_iterations=2")[1])
        self.count("logs", check)

    def test_full_disk_while_the_curves_are_written(self):
        before = self.model()

        def check():
            with helpers.file_size_limit(10):
                self.assert_stated(train("--max_iterations=2"),
                                   "^Error: Training has stopped; .* in logs .*File too large")
            self.assertEqual([], helpers.changed(before, "logs"))
        self.count("logs", check)

    def test_no_memory_for_a_step(self):
        before = self.model()
        full = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor\nat length")

        def check():
            with mock.patch.object(EmotionDetector, "get_next_batch", side_effect=full):
                self.assert_stated(train("--max_iterations=2"),
                                   r"^Error: Training has stopped; .* in logs \(OOM [a-z ]+\)\.$")
            self.assertEqual([], helpers.changed(before, "logs"))
        self.count("logs", check)

    def test_going_back_to_the_checkpoint_before(self):
        """As the README says: without `checkpoint`, and without the damaged one."""
        for iterations in (1, 2):
            train(f"--max_iterations={iterations}")
        for name in helpers.names("logs"):
            if name == "checkpoint" or name.startswith("model.ckpt-1."):
                os.remove(os.path.join("logs", name))

        def check():
            status, output, errors = train("--max_iterations=3")
            self.assertEqual((0, ""), (status, errors))
            self.assertIn("Model Restored!", output)
            self.assertEqual(3, tf.train.load_variable("logs/model.ckpt-2", "Variable"))
        self.count("logs", check)

    def test_full_disk_while_pictures_and_tables_are_written(self):
        before = self.model()

        def check():
            with helpers.file_size_limit(500):
                self.assert_stated(train("--mode=test"), "confusion_matrix.png cannot be written")
                for flag, name in (("--figure", "out.png"), ("--csv", "out.csv")):
                    self.assert_stated(helpers.run_script(
                        EmotionDetectorTest, "--logs_dir=logs", f"{flag}={name}",
                        *["face.png"] * 1, *self.copies(9)), f"{name} cannot be written")
            self.assertEqual(before, helpers.contents("logs"))
            self.assertEqual([], [name for name in helpers.names(".") if "out" in name])
        self.count("logs", check)

    def copies(self, count):
        """Copies of face.png under other names."""
        names = [f"copy{number}.png" for number in range(count)]
        for name in names:
            with open("face.png", "rb") as source:
                content = source.read()
            if not os.path.exists(name):
                with open(name, "wb") as file:
                    file.write(content)
        return names

    @parameterized.parameters(1e30, float("nan"))
    def test_divergence(self, rate):
        before = self.model()

        def check():
            with mock.patch.object(EmotionDetector, "LEARNING_RATE", rate):
                self.assert_stated(train("--max_iterations=21"),
                                   "^Error: Training has diverged: .*What was saved before")
            self.assertEqual([], helpers.changed(before, "logs"))
            status, output, errors = train("--max_iterations=2")
            self.assertEqual(0, status, errors)
            self.assertIn("Model Restored!", output)
        self.count("logs", check)


class ImagesTest(Counted):
    """All on one model."""

    def setUp(self):
        super().setUp()
        helpers.write_data("data")
        self.assertEqual(0, train("--max_iterations=1")[0])
        Image.new("L", (60, 50), 99).save("good.png")

    def classify(self, *args):
        return helpers.run_script(EmotionDetectorTest, "--logs_dir=logs", *args)

    def make(self, name, content):
        """Write an image: bytes, a size, or the good picture in the name's format."""
        if isinstance(content, tuple):
            with mock.patch.object(Image, "MAX_IMAGE_PIXELS", None):
                Image.new("1", content).save(name)
        elif isinstance(content, str):
            noise = np.random.RandomState(0).randint(0, 256, (90, 80)).astype(np.uint8)
            Image.fromarray(noise).save(name)
            if content == "half":
                os.truncate(name, os.path.getsize(name) // 2)
        elif content is not None:
            with open(name, "wb") as file:
                file.write(content)

    def test_files(self):
        """One run for all: an error line for each bad file, and answers for the others."""
        for name, (content, _) in IMAGES.items():
            self.make(name, content)
        os.mkdir("folder")
        status, output, errors = self.classify("--", "good.png", "folder", *IMAGES)
        self.assertEqual(1, status)
        lines = errors.splitlines()
        for name, (_, pattern) in ({"folder": (None, "directory"), "good.png": (None, None)}
                                   | IMAGES).items():
            def check(name=name, pattern=pattern):
                stated = [line for line in lines if line.startswith(f"Error: {name} ")]
                self.assertEqual(pattern is not None, len(stated) == 1, name)
                self.assertEqual(pattern is None, f"{name}: " in output, name)
                if pattern:
                    self.assertRegex(stated[0], pattern)
            self.count("images", check)
        self.assertEqual(sum(pattern is not None for _, pattern in IMAGES.values()) + 1, len(lines))

    @parameterized.parameters("50,0,48,48", "0,0,0,0", "1,2,3", "a,b,c,d")
    def test_box(self, box):
        self.count("images", lambda: self.assert_stated(
            self.classify(f"--box={box}", "good.png"), "60 pixels wide and 50 high"))

    @parameterized.parameters("--figure=none/out.png", "--csv=none/out.csv", "--figure=out.xyz",
                              "--csv=locked/out.csv", "--figure=locked/out.png",
                              "--figure=dir.png")
    def test_output(self, flag):
        os.mkdir("locked", 0o555)
        os.mkdir("dir.png")

        def check():
            with helpers.unprivileged():
                result = self.classify(flag, "good.png")
            self.assert_stated(result, "^Error: ")
            self.assertEqual("", result[1])
        self.count("images", check)


class ProcessTest(Counted):
    """The real scripts in processes of their own: one case of each table, signals and kills."""

    def setUp(self):
        super().setUp()
        helpers.write_data("data")

    def assert_ends(self, process, status, pattern):
        output, errors = process.communicate(timeout=60)
        self.assertEqual(status, process.returncode, errors)
        self.assertRegex(errors, pattern)
        self.assertNotIn("Traceback", errors)
        return output

    def start(self, *args):
        return helpers.start_script("EmotionDetector.py", "--data_dir=data", "--logs_dir=logs",
                                    *args)

    def test_a_case_of_each_table(self):
        os.mkdir("logs")
        open("logs/checkpoint", "w").close()
        open("empty.png", "w").close()
        os.mkdir("bad")
        with open("bad/train.csv", "wb") as file:
            file.write(DATA_FILES["label 7"][0])
        for script, args, pattern in (
                ("EmotionDetector.py", ["--data_dir=bad"], "line 14: Emotion is '7'"),
                ("EmotionDetectorUtils.py", ["--data_dir=bad"], "line 14: Emotion is '7'"),
                ("EmotionDetectorUtils.py", ["--data_dir=data", "--figure=first.xyz"],
                 "first.xyz: expected a name that ends in .png"),
                ("EmotionDetector.py", ["--data_dir=data", "--logs_dir=logs"], "is damaged"),
                ("EmotionDetectorTest.py", ["empty.png"], "no picture")):
            process = helpers.start_script(script, *args)
            self.count("processes", functools.partial(self.assert_ends, process, 1, pattern))

    def test_standard_output_that_takes_no_more(self):
        script = [sys.executable, os.path.join(helpers.ROOT, "EmotionDetectorUtils.py"),
                  "--data_dir=data", "--figure=first.png"]
        reader, pipe = os.pipe()
        os.close(reader)  # as `| head` does after its lines
        with open(pipe, "wb") as closed, open("/dev/full", "wb") as full:
            for output, status, errors in (
                    (closed, 141, ""),
                    (full, 1, "Error: Standard output: No space left on device.\n")):
                def check(output=output, status=status, errors=errors):
                    result = subprocess.run(script, stdout=output, stderr=subprocess.PIPE,
                                            text=True, check=False)
                    self.assertEqual((status, errors), (result.returncode, result.stderr))
                self.count("processes", check)

    @parameterized.parameters("nonsense", "module://none")
    def test_a_drawing_library_that_is_not_there(self, backend):
        args = ["--figure=first.png"] if backend == "nonsense" else []
        with mock.patch.dict(os.environ, MPLBACKEND=backend):
            process = helpers.start_script("EmotionDetectorUtils.py", "--data_dir=data", *args)
        self.count("processes", lambda: self.assert_ends(
            process, 1, r"^Error: matplotlib cannot start \(.*MPLBACKEND set wrongly\?\n$"))

    @parameterized.parameters(signal.SIGINT, signal.SIGTERM)
    def test_signal_while_reading(self, number):
        os.remove("data/train.csv")
        os.mkfifo("data/train.csv")
        process = self.start()
        with open("data/train.csv", "w"):  # waits until it is opened, and keeps it waiting
            time.sleep(0.5)  # a signal just before a read that blocks would wait for its end
            self.count("signals", lambda: self.assert_stopped(process, number))

    @parameterized.parameters(signal.SIGINT, signal.SIGTERM)
    def test_signal_while_training(self, number):
        process = self.start("--max_iterations=100000")
        self.wait_for_step(process)

        def check():
            errors = self.assert_stopped(process, number)
            step = int(re.search(r"Step (\d+) is saved", errors).group(1))
            found = tf.train.load_variable(f"logs/model.ckpt-{step}", "Variable")
            self.assertEqual(step + 1, found)
            self.assertEqual([], [name for name in helpers.names("logs") if "temp" in name])
            status, output, _ = train(f"--max_iterations={step + 2}")
            self.assertEqual(0, status)
            self.assertIn("Model Restored!", output)
        self.count("signals", check)

    def wait_for_step(self, process):
        """Read the output up to the first loss."""
        for line in process.stdout:
            if "Validation Loss" in line:
                return

    def assert_stopped(self, process, number):
        start = time.monotonic()
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        self.assertLess(time.monotonic() - start, 5)
        self.assertEqual(128 + number, process.returncode, errors)
        self.assertIn(f"Stopped by {number.name}.", errors)
        self.assertNotIn("Traceback", errors)
        return errors

    def test_kill_and_go_on(self):
        """Three kills at random moments; the last run's losses are those of an undisturbed one."""
        rng = random.Random(0)
        for _ in range(3):
            process = self.start("--max_iterations=100000")
            self.wait_for_step(process)
            time.sleep(rng.uniform(0, 4))
            process.kill()
            process.communicate()
        shutil.copytree("logs", "copy")
        step = tf.train.load_variable(EmotionDetector.newest_checkpoint("logs"), "Variable")
        end = f"--max_iterations={step + 51}"
        disturbed = self.assert_ends(self.start(end), 0, "^")
        status, undisturbed, errors = train("--logs_dir=copy", end)
        self.assertEqual(0, status, errors)

        def check():
            losses = [re.findall(r"Loss: (.*)", output) for output in (disturbed, undisturbed)]
            self.assertGreaterEqual(len(losses[0]), 5)
            self.assertEqual(*losses)
        self.count("kills", check)


if __name__ == "__main__":
    unittest.main()
