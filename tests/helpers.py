"""What the tests share: small data files, and scripts run as from the command line, with TensorFlow silent."""
import contextlib
import functools
import gc
import glob
import io
import os
import shutil
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

EMOTIONS = list(EmotionDetectorUtils.EMOTIONS)
cases = parameterized.parameters  # a test for each of them
tf.logging.set_verbosity(tf.logging.FATAL)
gc.set_threshold(20000)  # a graph is of thousands of objects: the tests take a tenth less time


class TestCase(parameterized.TestCase):
    """A test in a temporary folder of its own, which is the current one."""

    def setUp(self):
        super().setUp()
        self.folder = os.path.realpath(self.enter_context(tempfile.TemporaryDirectory()))
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        self.enter_context(contextlib.redirect_stderr(io.StringIO()))  # notices that are no part of the test

    def assert_stated(self, result, pattern, status=1):
        """One sentence on standard error, and the exit status; the output is returned."""
        found, output, errors = result
        self.assertEqual((status, 1), (found, errors.count("\n")), errors)
        self.assertRegex(errors, pattern)
        return output

    def assert_user_error(self, pattern):
        return self.assertRaisesRegex(EmotionDetectorUtils.UserError, pattern)

    def assert_well(self, result):
        """Nothing on standard error, and status 0; the output is returned."""
        self.assertEqual((0, ""), (result[0], result[2]))
        return result[1]


def states(folder):
    """Which file each path in a folder is, when it was written, and its size: faster than what it holds."""
    paths = filter(os.path.isfile, glob.glob(os.path.join(folder, "**"), recursive=True))
    found = {path: os.stat(path) for path in paths}
    return {path: (state.st_ino, state.st_mtime_ns, state.st_size) for path, state in found.items()}


def write(name, content):
    """Write text or bytes into a file, whose folder is made; what is there, perhaps a link, is replaced."""
    os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
    if os.path.lexists(name):
        os.remove(name)
    with open(name, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())


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
    rows = ['"' + " ".join(map(str, face)) + '"' for face in pixels.tolist()]
    if labels is None:
        write(path, "\n".join(["Pixels", *rows, ""]))
    else:
        write(path, "\n".join(["Emotion,Pixels", *map("{},{}".format, labels, rows), ""]))


def write_data(count=40):
    """Write train.csv and test.csv into ./data."""
    write_csv("data/train.csv", *faces(count))
    write_csv("data/test.csv", None, faces(9, seed=1)[1])


def write_pictures(pixels):
    """Write faces [n, 2304] as face00.png ... and return the names."""
    names = [f"face{number:02}.png" for number in range(len(pixels))]
    for name, row in zip(names, pixels):
        Image.fromarray(row.reshape(48, 48).astype(np.uint8)).save(name)
    return names


def start_script(name, *args, environment=None, command=(sys.executable,), **kwargs):
    """Start a script in a process of its own, its output in pipes; Ctrl-C reaches it even if it is ignored here."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return subprocess.Popen([*command, os.path.join(ROOT, name), *args], text=True,
                                env=ENVIRONMENT | (environment or {}),
                                **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | kwargs)
    finally:
        signal.signal(signal.SIGINT, before)


def finish(process):
    """Wait for it: its exit status, and what it wrote to standard output and standard error."""
    try:
        output, errors = process.communicate(timeout=100)
    finally:
        process.kill()
    return process.returncode, output, errors


def run_script(module, *args, main=None):
    """Run a script's `main`, or another, in this process as its command line would; as `finish`."""
    output, errors = io.StringIO(), io.StringIO()
    with (flagsaver.flagsaver(), mock.patch.object(sys, "argv", [module.__file__, *args]),
          contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors)):
        try:
            EmotionDetectorUtils.run_script(main or module.main, tf.errors.OpError,
                                            **{"takes_files": True} if module is EmotionDetectorTest else {})
        except SystemExit as end:
            status = end.code or 0
    return status, output.getvalue(), errors.getvalue()


def train(*args):
    """Train in ./logs on the data in ./data."""
    return run_script(EmotionDetector, "--data_dir=data", "--logs_dir=logs", *args)


@functools.cache
def trained_model():
    """Write data and train on it for 31 iterations, once for all tests; return the folder, with data and logs."""
    folder, before = tempfile.TemporaryDirectory(), os.getcwd()
    os.chdir(folder.name)
    write_data()
    assert train("--max_iterations=31")[0] == 0
    os.remove("logs/loss.png")
    os.rename(*glob.glob("logs/events.*"), "logs/events.out.tfevents.0")  # TensorFlow names it by the second
    os.chdir(before)
    return folder


def write_model():
    """Have ./data, and a model in ./logs, of steps 0 and 30. The files are links: to be replaced, not changed."""
    for name in ("data", "logs"):
        shutil.copytree(os.path.join(trained_model().name, name), name, copy_function=os.link)


def classify(*args):
    """Classify with the model in ./logs."""
    return run_script(EmotionDetectorTest, "--logs_dir=logs", *args)
