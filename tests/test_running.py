"""The scripts as people run them: silence, signals, kills, closed pipes, notebooks, IDEs."""
import glob
import io
import os
import random
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
import unittest
from unittest import mock

import helpers
import numpy as np
import tensorflow.compat.v1 as tf
from PIL import Image

import EmotionDetectorUtils


class ScriptsTest(helpers.TestCase):

    def setUp(self):
        super().setUp()
        helpers.write_data()
        helpers.write_pictures(helpers.faces(1)[1])
        self.environment = {}

    def start(self, number):
        """Train, test, classify or look at the data, in a process of its own."""
        script, *args = (
            ("EmotionDetector.py", "--data_dir=data", "--logs_dir=logs", "--max_iterations=1"),
            ("EmotionDetector.py", "--data_dir=data", "--logs_dir=logs", "--mode=test"),
            ("EmotionDetectorTest.py", "--logs_dir=logs", "--figure=answer.png", "face00.png"),
            ("EmotionDetectorUtils.py", "--data_dir=data", "--figure=first.png"))[number]
        return helpers.start_script(script, *args, environment=self.environment)

    def run_one(self, number):
        """Do the same to its end."""
        return helpers.finish(self.start(number))

    def test_a_run_where_all_is_well_is_silent(self):
        """Even where a notebook names a drawing library that is not there, and a reader has settings of his own."""
        looking, helping = self.start(3), helpers.start_script("EmotionDetectorUtils.py", "--help")
        self.assert_well(helpers.finish(looking))
        self.assertIn("--convert", self.assert_well(helpers.finish(helping)))
        with Image.open("first.png") as picture:
            plain = np.asarray(picture)
        with open("matplotlibrc", "w") as file:
            file.write("figure.constrained_layout.use: True\nimage.origin: lower\ninteractive: True\nfont.size: 20\n")
        self.environment = {"TF_CPP_MIN_LOG_LEVEL": "3", "MPLBACKEND": "module://no_such_backend",
                            "MATPLOTLIBRC": os.path.abspath("matplotlibrc")}
        outputs = {}
        for pair in (0, 3), (1, 2):
            for number, process in [(number, self.start(number)) for number in pair]:
                outputs[number] = self.assert_well(helpers.finish(process))
        self.assertRegex(outputs[3], r"^train images shape =  \(36, 48, 48, 1\)\ntrain labels shape =  "
                         r"\(36, 7\)\ntest labels shape =  \(9, 48, 48, 1\)\nimage_0 shape =  "
                         r"\(48, 48, 1\)\nlabel set =  \[[01. ]{20}\]\n$")
        for name in ("first.png", "answer.png", "logs/loss.png", "logs/confusion_matrix.png"):
            self.assertGreaterEqual(min(helpers.picture_size(name)), 300)
        with Image.open("first.png") as picture:
            np.testing.assert_array_equal(plain, picture)

    @unittest.skipIf(os.name == "nt", "a shell's way to close it")
    def test_with_standard_error_closed(self):
        self.environment["TF_CPP_MIN_LOG_LEVEL"] = "0"  # so that TensorFlow does write
        output = self.assert_well(helpers.finish(helpers.start_script(
            "EmotionDetector.py", "--max_iterations=1",  # on practice faces
            command=["sh", "-c", 'exec "$0" "$@" 2>&-', sys.executable], environment=self.environment)))
        self.assertNotIn("practising", output)  # a notice is none of standard output's lines
        for path in glob.glob("logs/**", recursive=True):
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    self.assertNotRegex(file.read(), rb"oneDNN|[IWE]0000 00:", path)

    def test_tensorflow_is_heard_where_the_user_wants_it(self):
        self.environment["TF_CPP_MIN_LOG_LEVEL"] = "0"
        status, _, errors = self.run_one(0)
        self.assertEqual(0, status)
        self.assertRegex(errors, r"(?m)^I0000 .*oneDNN|^\d{4}-.* I tensorflow")

    def test_what_a_script_sets_and_an_import_and_a_notebook_do_not(self):
        """oneDNN on, a GPU's memory taken as needed and no TensorFloat-32, no Keras; what the user has set stands."""
        code = ("import gc, os, sys, signal, threading, warnings; start = {start}; import EmotionDetectorUtils as utils\n"
                "from PIL import Image; limit = Image.MAX_IMAGE_PIXELS; utils.GPU_DEVICES = sys.argv[:1]\n{call}\n"
                "print(*map(os.environ.get, sys.argv[1:]), 'keras' in sys.modules, gc.isenabled(), gc.get_freeze_count() > 0)\n"
                "print(utils.OWNS_PROCESS, Image.MAX_IMAGE_PIXELS == 125e6, Image.MAX_IMAGE_PIXELS == limit, "
                "('ignore', None, Warning, None, 0) in warnings.filters, os.environ.get('TF_DETERMINISTIC_OPS'), "
                "threading.excepthook is threading.__excepthook__, signal.getsignal(signal.SIGINT) == signal.SIG_DFL)")
        names = ("TF_ENABLE_ONEDNN_OPTS", "TF_FORCE_GPU_ALLOW_GROWTH", "NVIDIA_TF32_OVERRIDE", "TF_USE_LEGACY_KERAS")
        script, other = "True True False True 1 False True\n", "False False True False None True False\n"
        processes = []
        for start, call, environment, first, second in (
                (0, "utils.prepare_script()", {}, "1 true 0 None False True True\n", script),
                (0, "utils.GPU_DEVICES = ('no such',); utils.prepare_script()", {}, "1 true 0 None False True True\n",
                 script.replace("1", "None")),
                (0, "utils.load_tensorflow()", dict(zip(names, "0310")), "0 3 1 0 True True True\n", other),
                ("setattr(sys, 'ps1', '>')", "utils.prepare_script()", {}, "1 true 0 None False True True\n", other)):
            name = os.path.abspath(f"settings{len(processes)}.py")
            with open(name, "w") as file:
                file.write(code.format(start=start, call=call))
            processes.append((first + second, helpers.start_script(
                name, *names, environment=environment | {"PYTHONPATH": helpers.ROOT})))
        for expected, process in processes:
            self.assertEqual(expected, self.assert_well(helpers.finish(process)))

    @helpers.parameterized.parameters(
        ("tensorflow", "raise ImportError('no DLL')",
         "^Error: tensorflow.compat.v1 cannot be loaded .no DLL.: pip install .*TF_CPP_MIN_LOG_LEVEL=0 shows", 0),
        ("tensorflow", "raise OSError(2, 'No usable temporary directory')",
         "^Error: tensorflow.compat.v1 cannot be loaded .No usable temporary directory.. TF_CPP_MIN", 0),
        ("pandas", "raise ImportError('needs:\\n no DLL')",
         "^Error: pandas cannot be loaded .needs: no DLL.: pip install", 3),
        ("pandas", "raise MemoryError", "^Error: pandas cannot be loaded .MemoryError.", 3),
        ("PIL", "class Image: __version__, Image = '10.0.1', 0\nImageOps = UnidentifiedImageError = 0",
         "^Error: Pillow 10.1 or newer is needed, and this is 10.0.1: pip install", 2),
        ("matplotlib", "raise ValueError('size changed')", r"Error: matplotlib.pyplot cannot be loaded .size", 3))
    def test_a_library_that_does_not_load(self, name, end, pattern, script):
        os.makedirs(f"fake/{name}")
        with open(f"fake/{name}/__init__.py", "w") as file:
            file.write(f"import os\nos.write(2, b'' if '{name}' != 'tensorflow' else b'its words')\n{end}\n")
        self.environment["PYTHONPATH"] = os.path.abspath("fake")
        self.assert_stated(self.run_one(script), pattern)

    @unittest.skipUnless(hasattr(signal, "SIGABRT"), "no such signal here")
    def test_tensorflow_that_aborts(self):
        os.makedirs("fake/tensorflow")
        with open("fake/tensorflow/__init__.py", "w") as file:
            file.write("import os\nos.abort()\n")
        self.environment["PYTHONPATH"] = os.path.abspath("fake")
        status, _, errors = self.run_one(0)
        self.assertEqual(-signal.SIGABRT, status)
        self.assertRegex(errors, "^Fatal Python error: Aborted")

    def test_a_window_that_cannot_be_opened(self):
        processes = [helpers.start_script("EmotionDetectorUtils.py", "--data_dir=data", environment={"MPLBACKEND": backend})
                     for backend in ("agg", "SVG", "module://matplotlib.backends.backend_ps", "nonsense")]
        for process in processes:
            self.assert_stated(helpers.finish(process),
                               "^Error: matplotlib cannot open a window [(][^)]+.*--figure=FILE.png")

    def test_a_window_that_fails_while_it_is_made(self):
        """As tkinter does without its Tcl files, whose error has many lines."""
        plt = EmotionDetectorUtils.load_pyplot(show=False)
        with (mock.patch.object(EmotionDetectorUtils, "OWNS_PROCESS", True), mock.patch.dict(os.environ),
              mock.patch.multiple(plt, rcdefaults=mock.DEFAULT, ioff=mock.DEFAULT, switch_backend=mock.DEFAULT),
              mock.patch.object(plt, "figure", side_effect=LookupError("no init.tcl in\n  /a\n  /b")),
              self.assertRaisesRegex(EmotionDetectorUtils.UserError, "open a window .no init.tcl in /a /b.: use --figure=")):
            EmotionDetectorUtils.load_pyplot(show=True)

    @helpers.parameterized.parameters(
        ("-h", "Unknown command line flag 'h'"), ("--logs_dir=", "--logs_dir= has no value"),
        ("--data_dir=", "--data_dir= has no value"))
    def test_wrong_usage_names_the_help(self, argument, pattern):
        self.assert_stated(helpers.train(argument), f"^Error: {pattern}.*--help lists the flags", 2)

    @unittest.skipUnless(hasattr(signal, "SIGPIPE"), "no such signal here")
    def test_a_reader_that_has_left(self):
        reader, pipe = os.pipe()
        os.close(reader)  # as `| head` does after its lines
        with open(pipe, "wb") as closed:
            process = helpers.start_script("EmotionDetectorUtils.py", "--data_dir=data",
                                           "--figure=first.png", stdout=closed)
            self.assertEqual((-signal.SIGPIPE, None, ""), helpers.finish(process))

    @unittest.skipUnless(os.path.exists("/dev/full"), "no full disk here")
    def test_a_full_disk_behind_standard_output(self):
        with open("/dev/full", "wb") as full:
            process = helpers.start_script("EmotionDetectorUtils.py", "--data_dir=data",
                                           "--figure=first.png", stdout=full)
            self.assertEqual((1, None, "Error: Standard output: No space left on device.\n"),
                             helpers.finish(process))

    def test_a_second_run_in_one_process_and_a_standard_output_of_another_kind(self):
        """As IDLE's F5, Spyder and Jupyter's %run do it; flags start from their defaults again."""
        handler = signal.getsignal(signal.SIGINT)
        for name in EmotionDetectorUtils.FLAGS:
            self.addCleanup(lambda name: EmotionDetectorUtils.FLAGS[name].unparse(), name)
        data = ("--data_dir=data", "--max_iterations=2")
        for script, *args in (("EmotionDetector.py", *data), ("EmotionDetectorTest.py", "face00.png"),
                              ("EmotionDetector.py", *data, "--mode=test"),
                              ("EmotionDetectorUtils.py", "--data_dir=data", "--figure=first.png"),
                              ("EmotionDetector.py", *data, "--logs_dir=other")):
            path = os.path.join(helpers.ROOT, script)
            with (mock.patch.object(sys, "argv", [script, *args]),
                  mock.patch.object(sys, "stdout", io.StringIO()),
                  mock.patch.object(EmotionDetectorUtils, "INTERACTIVE", True),
                  mock.patch.object(sys, "ps1", ">", create=True),
                  self.assertRaises(SystemExit) as end):
                runpy.run_path(path, run_name="__main__")
            self.assertFalse(end.exception.code)
        self.assertIn("model.ckpt-1.index", os.listdir("other"))  # with --mode=train, the default
        self.assertIs(handler, signal.getsignal(signal.SIGINT))

    def test_a_notebook(self):
        """As the README has it: an import does nothing; eager TensorFlow stays as it was."""
        code = ("import sys, EmotionDetectorUtils; assert 'tensorflow' not in sys.modules\n"
                "import EmotionDetector; assert not EmotionDetector.FLAGS.is_parsed()\n"
                "EmotionDetector.FLAGS(['EmotionDetector', '--data_dir=data', '--max_iterations=1'])\n"
                "EmotionDetector.main()\nEmotionDetector.main()\n"
                "import EmotionDetectorTest, tensorflow as tf\n"
                "assert tf.executing_eagerly() and not tf.compat.v1.get_default_graph().get_operations()\n"
                "assert tf.compat.v1.logging.get_verbosity() < tf.compat.v1.logging.ERROR\n"
                "assert EmotionDetectorTest.main(['', 'face00.png']) == 0\n")
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False,
                                env=helpers.ENVIRONMENT | {"PYTHONPATH": helpers.ROOT})
        self.assertEqual(0, result.returncode, result.stderr)
        self.assertRegex(result.stdout, "Model Restored!\nThe model is trained(.*\n)+face00.png: ")

    @helpers.parameterized.parameters("EmotionDetector", "EmotionDetectorTest")
    def test_an_import_after_a_run_in_one_process(self, name):
        """As a notebook does it: %run, then import; and the other way round."""
        code = (f"import sys, runpy; sys.ps1 = '>'; sys.argv = ['{name}.py', '--max_iterations=x']\n"
                "def run():\n"
                f"    try: runpy.run_path('{helpers.ROOT}/{name}.py', run_name='__main__')\n"
                "    except SystemExit as end: assert end.code == 2\n"
                f"run(); import {name}; run()\n")
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False,
                                env=helpers.ENVIRONMENT | {"PYTHONPATH": helpers.ROOT})
        self.assertEqual(0, result.returncode, result.stderr)


@unittest.skipUnless(hasattr(signal, "SIGKILL"), "no such signals here")
class SignalTest(helpers.TestCase):

    def setUp(self):
        super().setUp()
        helpers.write_data()

    def start(self, *args):
        return helpers.start_script("EmotionDetector.py", "--data_dir=data", "--logs_dir=logs", *args)

    def wait_for_a_step(self, process):
        """Wait until the first step is validated; returns the process, which the end of the test kills."""
        self.addCleanup(process.kill)
        next(line for line in process.stdout if "Validation Loss" in line)
        return process

    def test_while_training_the_step_is_saved(self):
        processes = [(number, str(number.name), self.start("--max_iterations=100000", f"--logs_dir={number.name}"))
                     for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        for number, _, process in processes:
            self.wait_for_a_step(process)
            process.send_signal(number)
        for number, logs, process in processes:
            status, _, errors = helpers.finish(process)
            self.assertEqual(-number, status)  # 130 and the like, in a shell
            step = int(re.fullmatch(r"Step (\d+) is saved: [^\n]*\n", errors).group(1))
            self.assertEqual(step + 1, tf.train.load_variable(f"{logs}/model.ckpt-{step}", "Variable"))
            output = self.assert_well(helpers.train(f"--max_iterations={step + 2}", f"--logs_dir={logs}"))
            self.assertIn("Model Restored!", output)

    def test_while_reading(self):
        os.remove("data/train.csv")
        os.mkfifo("data/train.csv")
        process = self.start()
        with open("data/train.csv", "w"):  # waits until it is opened, and keeps it waiting
            process.send_signal(signal.SIGINT)
            self.assertEqual((-signal.SIGINT, "", ""), helpers.finish(process))

    def test_while_converting_nothing_half_written_is_left(self):
        """The first face is written when its folder's line is there, and no other can be read before Ctrl-C comes."""
        for folder in ("happy", "sad"):
            os.makedirs(f"source/{folder}")
            Image.new("L", (3000, 3000)).save(f"source/{folder}/face.png")
        for number in range(200):
            os.link("source/sad/face.png", f"source/sad/{number}.png")
        process = helpers.start_script("EmotionDetectorUtils.py", "--convert=source", "--data_dir=new")
        self.assertRegex(process.stdout.readline(), "happy: 1 faces, happy -> train.csv\n$")  # at once
        self.assertRegex(os.listdir("new")[0], r"^train.csv.\d+.part$")
        process.send_signal(signal.SIGINT)
        self.assertEqual((-signal.SIGINT, "", ""), helpers.finish(process))
        self.assertEqual([], os.listdir("new"))

    def test_a_reader_that_has_left_while_training(self):
        """As `| tee log` does at Ctrl-C, before its signal comes, and `2>&1 | tee log` under nohup: the step is saved."""
        runs = []
        for logs, command, both in (("one", [sys.executable], False), ("two", ["nohup", sys.executable], True)):
            reader, pipe = os.pipe()
            with open(pipe, "wb") as output:
                process = helpers.start_script(
                    "EmotionDetector.py", "--data_dir=data", f"--logs_dir={logs}", "--max_iterations=100000", stdout=output,
                    command=command, stdin=subprocess.DEVNULL, stderr=output if both else subprocess.PIPE)
            runs.append((logs, process, reader))
        for _, _, reader in runs:
            with open(reader) as lines:
                next(line for line in lines if "Validation Loss" in line)
        for logs, process, _ in runs:
            status, _, errors = helpers.finish(process)
            self.assertEqual(-signal.SIGPIPE, status)
            step = int(tf.train.latest_checkpoint(logs).rpartition("-")[2])
            self.assertGreater(step, 0)
            self.assertIn(errors, (f"Step {step} is saved: the same command goes on from there.\n", None))
            self.assertEqual(step + 1, tf.train.load_variable(f"{logs}/model.ckpt-{step}", "Variable"))

    @unittest.skipUnless(hasattr(os, "openpty"), "no such terminals here")
    def test_a_terminal_that_has_gone_while_training(self):
        """Standard output and standard error go to it; SIGHUP, which would come as well, is ignored."""
        terminal, end = os.openpty()
        process = helpers.start_script(
            "EmotionDetector.py", "--data_dir=data", "--logs_dir=logs", "--max_iterations=100000", stdin=end, stdout=end,
            stderr=end, command=["sh", "-c", 'trap "" HUP; exec "$0" "$@"', sys.executable])
        os.close(end)
        text = b""
        while b"Validation Loss" not in text:
            text += os.read(terminal, 1000)
        os.close(terminal)
        self.assertEqual(1, helpers.finish(process)[0])
        step = int(tf.train.latest_checkpoint("logs").rpartition("-")[2])
        self.assertGreater(step, 0)
        self.assertEqual(step + 1, tf.train.load_variable(f"logs/model.ckpt-{step}", "Variable"))

    @unittest.skipUnless(hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("unshare"), "makes a process 1")
    def test_ctrl_c_as_process_1(self):
        """As in a container, where the kernel does not take the system's own way to end it."""
        os.remove("data/train.csv")
        os.mkfifo("data/train.csv")
        process = helpers.start_script("EmotionDetector.py", "--data_dir=data", command=[
            "unshare", "--pid", "--fork", "--kill-child", sys.executable])
        with open("data/train.csv", "w"):
            child = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False).stdout
            if not child:
                self.skipTest("no such process may be made here")
            os.kill(int(child), signal.SIGINT)
            self.assertEqual((130, "", ""), helpers.finish(process))

    def test_kill_and_go_on(self):
        """Two kills at random moments; the last run's losses are those of an undisturbed one."""
        rng = random.Random(0)
        for _ in range(2):
            process = self.wait_for_a_step(self.start("--max_iterations=100000"))
            time.sleep(rng.uniform(0, 0.5))
            process.kill()
            process.communicate()
        shutil.copytree("logs", "copy")
        step = tf.train.load_variable(tf.train.latest_checkpoint("logs"), "Variable")
        disturbed, undisturbed = (
            re.findall(r"Loss: (.*)", helpers.train(f"--logs_dir={folder}", f"--max_iterations={step + 21}")[1])
            for folder in ("logs", "copy"))
        self.assertGreaterEqual(len(disturbed), 3)
        self.assertEqual(disturbed, undisturbed)
