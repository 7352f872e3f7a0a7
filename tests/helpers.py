"""What the tests share: small data files, and a script run as from the command line."""
import contextlib
import glob
import io
import os
import resource
import signal
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import numpy as np
from absl.testing import flagsaver
from PIL import Image

import EmotionDetectorUtils

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class TestCase(unittest.TestCase):
    """A test in a temporary folder of its own, `self.folder`, which is also the current one."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        os.chmod(self.folder, 0o777)  # for `unprivileged`


def names(folder):
    """The names of the files in a folder."""
    return sorted(os.listdir(folder))


def picture_size(path):
    """Width and height of a picture."""
    with Image.open(path) as picture:
        return picture.size


def contents(*folders):
    """What every file in some folders, which may not be there, holds: {path: bytes}."""
    found = {}
    for folder in folders:
        for path in sorted(glob.glob(os.path.join(folder, "**"), recursive=True)):
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    found[path] = file.read()
    return found


def changed(before, *folders):
    """The files of a `before` that no longer hold what they held, by path."""
    after = contents(*folders)
    return [path for path in before if after.get(path) != before[path]]


@contextlib.contextmanager
def unprivileged():
    """Give up root's right to read and write everything, for a while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@contextlib.contextmanager
def file_size_limit(size):
    """Let no file grow beyond a size, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def faces(count, seed=0):
    """Random labels [count] and pixels [count, 2304], each label told by a bright patch."""
    rng = np.random.RandomState(seed)
    labels = np.arange(count) % 7
    pixels = rng.randint(0, 100, (count, 48, 48))
    for label, face in zip(labels, pixels):
        face[6 * label:6 * label + 6] += 150
    return labels, pixels.reshape(count, -1)


def write_csv(path, labels, pixels, header="Emotion,Pixels"):
    """Write faces as Kaggle does; `labels` is None for a test set."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w") as file:
        print(header if labels is not None else "Pixels", file=file)
        for row in range(len(pixels)):
            text = '"' + " ".join(map(str, pixels[row].tolist())) + '"'
            print(text if labels is None else f"{labels[row]},{text}", file=file)


def write_data(folder, count=40, test_count=9):
    """Write train.csv and test.csv into a folder and return the folder's name."""
    write_csv(os.path.join(folder, "train.csv"), *faces(count))
    write_csv(os.path.join(folder, "test.csv"), None, faces(test_count, seed=1)[1])
    return folder


def start_script(name, *args):
    """Start a script in a process of its own, its output in pipes."""
    return subprocess.Popen([sys.executable, os.path.join(ROOT, name), *args], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run_script(module, *args):
    """Run a script's `main` in this process as its command line would.

    Returns:
        The exit status, and what went to standard output and to standard error.
    """
    streams = [io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2)]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with (flagsaver.flagsaver(), mock.patch.object(sys, "argv", [module.__file__, *args]),
          contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1])):
        try:
            EmotionDetectorUtils.run(module.main, takes_files="Test" in module.__name__)
        except SystemExit as end:
            status = end.code or 0
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    return (status, *(stream.buffer.getvalue().decode() for stream in streams))
