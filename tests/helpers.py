"""What the tests share: small data files, and a script run as from the command line."""
import contextlib
import glob
import hashlib
import io
import os
import subprocess
import sys
import tempfile
from unittest import mock

import numpy as np
import tensorflow.compat.v1 as tf
from absl.testing import flagsaver, parameterized
from PIL import Image

import EmotionDetector
import EmotionDetectorTest
import EmotionDetectorUtils

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class TestCase(parameterized.TestCase):
    """A test in a temporary folder of its own, which is the current one."""

    def setUp(self):
        super().setUp()
        folder = os.path.realpath(self.enterContext(tempfile.TemporaryDirectory()))
        self.enterContext(contextlib.chdir(folder))
        # A reader's own data beside the scripts is no part of a test
        self.enterContext(mock.patch.object(EmotionDetectorUtils, "__file__", folder + "/U.py"))

    def assert_stated(self, result, pattern, status=1):
        """One sentence on standard error, and the exit status; the output is returned."""
        found, output, errors = result
        self.assertEqual(status, found, errors)
        self.assertRegex(errors, pattern)
        self.assertEqual(1, errors.count("\n"), errors)
        return output

    def assert_well(self, result):
        """Nothing on standard error, and status 0; the output is returned."""
        self.assertEqual((0, ""), (result[0], result[2]))
        return result[1]


def contents(folder):
    """What every file in a folder holds: {path: digest}."""
    found = {}
    for path in glob.glob(os.path.join(folder, "**"), recursive=True):
        if os.path.isfile(path):
            with open(path, "rb") as file:
                found[path] = hashlib.file_digest(file, "md5").hexdigest()
    return found


def picture_size(path):
    """Width and height of a picture."""
    with Image.open(path) as picture:
        return picture.size


def faces(count, seed=0):
    """Random labels [count] and pixels [count, 2304], each label told by a bright patch."""
    rng = np.random.RandomState(seed)
    labels = np.arange(count) % 7
    pixels = rng.randint(0, 100, (count, 48, 48))
    for label, face in zip(labels, pixels):
        face[6 * label:6 * label + 6] += 150
    return labels, pixels.reshape(count, -1)


def write_csv(path, labels, pixels):
    """Write faces as Kaggle does; `labels` is None for a test set without them."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w") as file:
        print("Pixels" if labels is None else "Emotion,Pixels", file=file)
        for row in range(len(pixels)):
            text = '"' + " ".join(map(str, pixels[row].tolist())) + '"'
            print(text if labels is None else f"{labels[row]},{text}", file=file)


def write_data(folder="data", count=40, test_count=9):
    """Write train.csv and test.csv into a folder."""
    write_csv(f"{folder}/train.csv", *faces(count))
    write_csv(f"{folder}/test.csv", None, faces(test_count, seed=1)[1])


def write_pictures(pixels):
    """Write faces [n, 2304] as face00.png ... and return the names."""
    names = [f"face{number:02}.png" for number in range(len(pixels))]
    for name, row in zip(names, pixels):
        Image.fromarray(row.reshape(48, 48).astype(np.uint8)).save(name)
    return names


def start_script(name, *args, **kwargs):
    """Start a script in a process of its own, its output in pipes."""
    return subprocess.Popen([sys.executable, os.path.join(ROOT, name), *args], text=True,
                            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | kwargs)


def finish(process):
    """Wait for it: its exit status, and what it wrote to standard output and standard error."""
    output, errors = process.communicate(timeout=100)
    return process.returncode, output, errors


def run_script(module, *args):
    """Run a script's `main` in this process as its command line would; as `finish`."""
    output, errors = io.StringIO(), io.StringIO()
    with (flagsaver.flagsaver(), mock.patch.object(sys, "argv", [module.__file__, *args]),
          contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors)):
        try:
            EmotionDetectorUtils.run(module.main, tf.errors.OpError,
                                     takes_files=module is EmotionDetectorTest)
        except SystemExit as end:
            status = end.code or 0
    return status, output.getvalue(), errors.getvalue()


def train(*args):
    """Train in ./logs on the data in ./data."""
    return run_script(EmotionDetector, "--data_dir=data", "--logs_dir=logs", *args)


def classify(*args):
    """Classify with the model in ./logs."""
    return run_script(EmotionDetectorTest, "--logs_dir=logs", *args)
