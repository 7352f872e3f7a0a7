"""What the tests share: small data files, and a script run as from the command line.

Importing it prepares a test: the project's root becomes importable, and TensorFlow silent.
"""
import contextlib
import glob
import hashlib
import io
import os
import signal
import subprocess
import sys
import tempfile
from unittest import mock

import numpy as np
from absl.testing import flagsaver, parameterized
from PIL import Image

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)  # an editor's test explorer starts elsewhere
# What changes what a script writes, and when; and a display, on which a window would wait
for variable in ("TF_CPP_MIN_LOG_LEVEL", "PYTHONUNBUFFERED", "DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND"):
    os.environ.pop(variable, None)
ENVIRONMENT = dict(os.environ)  # a started script's, before TensorFlow is loaded here
import EmotionDetectorUtils

EmotionDetectorUtils.load_tensorflow()
import tensorflow.compat.v1 as tf

import EmotionDetector
import EmotionDetectorTest

tf.logging.set_verbosity(tf.logging.FATAL)


class TestCase(parameterized.TestCase):
    """A test in a temporary folder of its own, which is the current one."""

    def setUp(self):
        super().setUp()
        folder = os.path.realpath(temporary_folder(self.addCleanup))
        self.enter(contextlib.redirect_stderr(io.StringIO()))  # what is said beside a test
        # A reader's own data beside the scripts is no part of a test
        self.enter(mock.patch.object(EmotionDetectorUtils, "__file__", folder + "/U.py"))

    def enter(self, context):
        """Enter a context to the end of the test; as `enterContext`, which Python 3.10 has not."""
        self.addCleanup(context.__exit__, None, None, None)
        return context.__enter__()

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


def temporary_folder(add_cleanup):
    """Make a folder, and make it the current one, until the clean-up."""
    folder = tempfile.TemporaryDirectory()
    add_cleanup(folder.cleanup)
    add_cleanup(os.chdir, os.getcwd())
    os.chdir(folder.name)
    return folder.name


def contents(folder):
    """What every file in a folder holds: {path: digest}."""
    found = {}
    for path in glob.glob(os.path.join(folder, "**"), recursive=True):
        if os.path.isfile(path):
            with open(path, "rb") as file:
                found[path] = hashlib.md5(file.read()).hexdigest()
    return found


def states(folder):
    """When each file in a folder was written, and its size: faster than `contents`."""
    return {entry.path: (entry.stat().st_mtime_ns, entry.stat().st_size) for entry in os.scandir(folder)}


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


def start_script(name, *args, environment=None, command=(sys.executable,), **kwargs):
    """Start a script in a process of its own, its output in pipes, even where signals are ignored here."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)]
    before = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    try:
        return subprocess.Popen([*command, os.path.join(ROOT, name), *args], text=True,
                                env=ENVIRONMENT | (environment or {}),
                                **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | kwargs)
    finally:
        for number, handler in zip(numbers, before):
            signal.signal(number, handler)


def finish(process):
    """Wait for it: its exit status, and what it wrote to standard output and standard error."""
    try:
        output, errors = process.communicate(timeout=100)
    finally:
        process.kill()
    return process.returncode, output, errors


def run_script(module, *args):
    """Run a script's `main` in this process as its command line would; as `finish`."""
    output, errors = io.StringIO(), io.StringIO()
    with (flagsaver.flagsaver(), mock.patch.object(sys, "argv", [module.__file__, *args]),
          contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors)):
        try:
            EmotionDetectorUtils.run_script(module.main, tf.errors.OpError,
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
