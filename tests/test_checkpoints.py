"""Checkpoints: damaged, moved, of other programs, of the book's own, old formats."""
import glob
import os
import re
import shutil
from unittest import mock

import helpers
import numpy as np
import tensorflow.compat.v1 as tf

import EmotionDetector
import EmotionDetectorTest
import EmotionDetectorUtils


def restored_everywhere(test):
    """Train on, test and classify with ./logs; nothing is said but that the model is restored."""
    name, = helpers.write_pictures(helpers.faces(1)[1])
    test.assert_well(helpers.classify(name))
    for args in (["--mode=test"], ["--max_iterations=103"]):
        output = test.assert_well(helpers.train(*args))
        test.assertIn("Model Restored!\n", output)
        test.assertNotIn("Training Loss", output)  # it goes on from step 101
    test.assertEqual(103, tf.train.load_variable("logs/model.ckpt-102", "Variable"))


class DamageTest(helpers.TestCase):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = helpers.temporary_folder(cls.addClassCleanup)
        helpers.write_data()
        helpers.train("--max_iterations=101")

    def setUp(self):
        super().setUp()
        for folder in ("data", "logs"):
            shutil.copytree(os.path.join(self.model, folder), folder)
        helpers.write_pictures(helpers.faces(1)[1])

    def damage(self, name, kind):
        """Damage a file of the logs."""
        with open(f"logs/{name}", "rb") as file:
            content = file.read()
        os.remove(f"logs/{name}")
        if kind != "missing":
            middle = len(content) // 2
            with open(f"logs/{name}", "wb") as file:
                file.write({"empty": b"", "truncated": content[:middle],
                            "flipped": content[:middle] + bytes(99) + content[middle + 99:],
                            "random": np.random.RandomState(0).bytes(len(content))}[kind])

    def assert_all_tell(self, pattern):
        """Training on, testing and classifying tell one error and change no file."""
        before = helpers.states("logs")
        for run, *args in ((helpers.classify, "face00.png"), (helpers.train, "--mode=test"),
                           (helpers.train, "--max_iterations=102")):
            self.assert_stated(run(*args), pattern)
            self.assertEqual(before, helpers.states("logs"))

    @helpers.parameterized.product(
        name=("model.ckpt-100.index", "model.ckpt-100.data-00000-of-00001", "model.ckpt-100.meta"),
        kind=("missing", "empty", "truncated", "flipped"))
    def test_a_damaged_file(self, name, kind):
        self.damage(name, kind)
        if (name[-5:], kind) == (".meta", "missing"):  # the graph can be built, the weights are there
            restored_everywhere(self)
            return
        folder, cause = re.escape(os.path.abspath("logs")), re.escape(name) if kind == "missing" else ".+"
        self.assert_all_tell(f"^Error: {folder}/{cause} is missing: bring it back" if (name[-6:], kind) == (
            ".index", "missing") else rf"^Error: The model in {folder} cannot be restored \([^\n]*{cause}[^\n]*\)"
                             ": name another folder with --logs_dir, or bring it back from a copy.$")

    @helpers.parameterized.parameters("missing", "empty", "truncated", "random")
    def test_without_checkpoint_the_highest_number_counts_or_it_is_an_error(self, kind):
        shutil.copy("logs/model.ckpt-0.index", "logs/model.ckpt-99.index")
        self.damage("checkpoint", kind)
        if kind in ("missing", "truncated"):
            restored_everywhere(self)
        else:
            self.assert_all_tell("^Error: The model in .*/logs cannot be restored ")

    @helpers.parameterized.parameters(
        (["checkpoint"], "model.ckpt-100"), ([".data-00000-of-00001"], "model.ckpt-100"),
        ([".data-00000-of-00001", ".meta"], "model.ckpt-100"), ([".index"], "data-00000-of-00001; No such file"),
        (["checkpoint", ".meta"], "model.ckpt-100.index is missing"))
    def test_parts_of_a_model_never_start_from_step_0(self, endings, pattern):
        for name in os.listdir("logs"):
            if not any(name.endswith(ending) for ending in endings) or "ckpt-0" in name:
                os.remove(f"logs/{name}")
        self.assert_all_tell(f"^Error: .*{os.getcwd()}/logs.*{pattern}")

    def test_the_graph_alone_is_what_a_kill_at_the_first_save_leaves(self):
        for name in os.listdir("logs"):
            if name != "model.ckpt-0.meta":
                os.remove(f"logs/{name}")
        for result in (helpers.classify("face00.png"), helpers.train("--mode=test")):
            self.assert_stated(result, "^Error: .*/logs/model.ckpt-0.index is missing: ")
        self.assertNotIn("Restored", self.assert_well(helpers.train("--max_iterations=1")))
        self.assertEqual(1, tf.train.load_variable("logs/model.ckpt-0", "Variable"))

    @helpers.parameterized.parameters("model.ckpt-100", "model.ckpt-100.index", "model.ckpt-100.meta",
                                      "model.ckpt-100.data-00000-of-00001", "checkpoint", "model.ckpt-7")
    def test_a_checkpoint_s_name_is_no_folder(self, name):
        before = helpers.states("."), helpers.states("logs")
        for run, *args in ((helpers.classify, "face00.png"), (helpers.train, "--mode=test"), (helpers.train,)):
            self.assert_stated(run(f"--logs_dir=logs/{name}", *args),
                               f"^Error: .*/logs/{name} is not a folder: .* such as {os.getcwd()}/logs.$")
            self.assertEqual(before, (helpers.states("."), helpers.states("logs")))

    def test_no_memory_while_classifying_is_no_fault_of_the_model(self):
        """Nor is an error of the system, or of a program, which is a traceback; several causes are told as the first."""
        words = "2 root error(s) found.\n  (0) {}: {} x\n\t [[{{{{node a}}}}]]\n  (1) UNKNOWN: y\n0 successful operations."
        for error, pattern in (
                (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nat length"), "OOM when allocating"),
                (tf.errors.ResourceExhaustedError(None, None, words.format("RESOURCE_EXHAUSTED", "OOM")), "OOM x"),
                (MemoryError(), "MemoryError"), (OSError(5, "Input/output error", "/x"), "/x: Input/output error"),
                (tf.errors.NotFoundError(None, None, words.format("NOT_FOUND", "Key: b")),
                 f"The model in {os.getcwd()}/logs cannot be restored .Key: b x.: name another .* from a copy")):
            for name in ("restore", "run_in_batches"):
                with mock.patch.object(*((tf.train.Saver, name) if name == "restore" else (EmotionDetector, name)),
                                       side_effect=error):
                    self.assert_stated(helpers.classify("face00.png"), f"^Error: {pattern}.$")
        with (mock.patch.object(EmotionDetectorTest, "draw_answers", side_effect=TypeError),
              self.assertRaises(TypeError)):
            helpers.classify("--figure=x.png", "face00.png")

    def test_going_back_to_the_checkpoint_before(self):
        """As the README says: without `checkpoint`, and without the damaged one."""
        for name in os.listdir("logs"):
            if name == "checkpoint" or name.startswith("model.ckpt-100."):
                os.remove(f"logs/{name}")
        self.assert_well(helpers.train("--max_iterations=3"))
        self.assertEqual(3, tf.train.load_variable("logs/model.ckpt-2", "Variable"))

    @helpers.parameterized.parameters(r"C:\\Users\\x\\logs\\model.ckpt-100", "/home/x/model.ckpt-100")
    def test_saved_on_another_machine(self, path):
        with open("logs/checkpoint", "w") as file:
            file.write(f'model_checkpoint_path: "{path}"\nall_model_checkpoint_paths: "{path}"\n')
        restored_everywhere(self)

    def test_no_model(self):
        shutil.rmtree("logs")
        for result in (helpers.classify("face00.png"), helpers.train("--mode=test")):
            self.assert_stated(result, f"^Error: {os.path.abspath('logs')} does not exist: train one first.*or download")
        os.mkdir("logs")
        self.assert_stated(helpers.classify("face00.png"), f"^Error: {os.path.abspath('logs')} is empty: train one first")
        open("logs/notes", "w").close()
        self.assert_stated(helpers.classify("face00.png"), "/logs holds no model: train one first, .*or download one")

    def test_weights_under_another_name(self):
        """Without `checkpoint` they are named in an error; with it they are the model."""
        for path in glob.glob("logs/model.ckpt-0*"):
            os.remove(path)
        os.remove("logs/checkpoint")
        before = "model.ckpt-100"
        for name in ("model.ckpt-best", "best_model.ckpt", "69-9.91"):
            for path in glob.glob(f"logs/{before}*"):
                os.rename(path, path.replace(before, name))
            before = name
            self.assert_all_tell(f'^Error: .*/logs holds {name}.index, .*with the line model_checkpoint_path: "{name}"')
        with open("logs/checkpoint", "w") as file:
            file.write(f'model_checkpoint_path: "{name}"\n')
        restored_everywhere(self)

    def test_weights_that_are_no_numbers(self):
        with mock.patch.object(EmotionDetector, "run_in_batches", return_value=np.full((1, 7), np.nan)):
            self.assert_stated(helpers.classify("face00.png"), "logs cannot be restored .its answer to a black image is no")

    @helpers.parameterized.parameters({"W_conv1": [3, 3, 1, 32]}, {"kernel": [5, 5, 1, 32]})
    def test_another_network(self, **variables):
        with tf.Graph().as_default(), tf.Session() as sess:
            for name, shape in variables.items():
                tf.get_variable(name, shape)
            sess.run(tf.global_variables_initializer())
            tf.train.Saver().save(sess, "logs/model.ckpt", global_step=7)
        self.assert_all_tell("logs cannot be restored ")

    def test_a_checkpoint_of_today_s_tensorflow(self):
        shutil.rmtree("logs")
        with tf.Graph().as_default(), tf.Session() as sess:
            saved = tf.compat.v2.train.Checkpoint(kernel=tf.get_variable("kernel", [3, 3]))
            sess.run(tf.global_variables_initializer())
            with sess.as_default():
                saved.save("logs/ckpt")
        self.assert_all_tell("logs cannot be restored ")

    def test_a_missing_variable_is_named(self):
        reader = tf.train.load_checkpoint("logs/model.ckpt-100")
        with tf.Graph().as_default(), tf.Session() as sess:
            for name in reader.get_variable_to_shape_map():
                if name != "Variable":
                    tf.get_variable(name, initializer=reader.get_tensor(name))
            sess.run(tf.global_variables_initializer())
            tf.train.Saver().save(sess, "logs/model.ckpt", global_step=7, write_meta_graph=False)
        self.assert_stated(helpers.train(), "cannot be restored .Key Variable not found in checkpoint.: ")


def dropout_of_2016(x):
    """`tf.nn.dropout(x, 0.5)` as TensorFlow 0.12 built it."""
    with tf.name_scope("dropout"):
        keep_prob = tf.constant(0.5, name="keep_prob")
        return tf.divide(x, keep_prob) * tf.floor(keep_prob + tf.random_uniform(tf.shape(x)))


def dropout_of_2018(x):
    """The same as TensorFlow 1.13 built it."""
    with tf.name_scope("dropout"):
        rate = tf.constant(0.5, name="rate")
        return x * (1 / (1 - rate)) * tf.cast(tf.random_uniform(tf.shape(x)) >= rate, tf.float32)


def dropout_of_today(x, dropout=tf.nn.dropout):
    """The same as the installed TensorFlow builds it."""
    return dropout(x, 0.5)


def dropout_of_a_reader(x, dropout=tf.nn.dropout):
    """A reader's repair of the chapter: its placeholder is used, and has to be fed."""
    return dropout(x, tf.placeholder(tf.float32, name="dropout_prob"))


def run_book_program(dropout, write_version):
    """Train one step and save in ./logs, in the graph that the chapter prints.

    Returns what it answers with its dropout off.
    """
    with (tf.Graph().as_default(), tf.variable_scope("", use_resource=False), tf.Session() as sess,
          mock.patch.object(tf.nn, "dropout", lambda x, prob: dropout(x))):
        input_dataset = tf.placeholder(tf.float32, [None, 48, 48, 1], name="input")
        input_labels = tf.placeholder(tf.float32, [None, 7])
        global_step = tf.Variable(0, trainable=False)
        pred = EmotionDetector.emotion_cnn(input_dataset, 0.5)
        tf.nn.softmax(pred, name="output")
        loss_val = EmotionDetector.loss(pred, input_labels)
        train_op = tf.train.AdamOptimizer(1e-3).minimize(loss_val, global_step)
        sess.run(tf.global_variables_initializer())
        labels, pixels = helpers.faces(20)
        feed = {input_dataset: EmotionDetectorUtils.to_images(pixels), input_labels: np.eye(7)[labels]}
        sess.run(train_op, feed | ({"fc_1/dropout_prob:0": 0.5} if dropout is dropout_of_a_reader else {}))
        os.makedirs("logs")
        tf.train.Saver(write_version=write_version).save(sess, "logs/model.ckpt", global_step=0)
        hidden, weights, biases = sess.run(["fc_1/Relu:0", "W_fc2:0", "b_fc2:0"], feed)
        exponents = np.exp(hidden @ weights + biases)
        return exponents / exponents.sum(axis=1, keepdims=True)


class BookCheckpointTest(helpers.TestCase):

    @helpers.parameterized.parameters(
        (dropout_of_2016, tf.train.SaverDef.V1), (dropout_of_2016, tf.train.SaverDef.V2),
        (dropout_of_2018, tf.train.SaverDef.V2), (dropout_of_today, tf.train.SaverDef.V2),
        (dropout_of_a_reader, tf.train.SaverDef.V2))
    def test_classified_tested_and_trained_on(self, dropout, write_version):
        expected = run_book_program(dropout, write_version)
        self.assertEqual(write_version == tf.train.SaverDef.V1, os.path.isfile("logs/model.ckpt-0"))
        names = helpers.write_pictures(helpers.faces(20)[1])
        answers = []
        for _ in range(2):
            self.assert_well(helpers.classify("--csv=answers.csv", *names))
            answers.append(np.loadtxt("answers.csv", delimiter=",", skiprows=1, usecols=range(2, 9)))
        np.testing.assert_array_equal(*answers)
        np.testing.assert_allclose(answers[0], expected, atol=1e-6)

        helpers.write_data()
        for args in (["--mode=test"], ["--max_iterations=3"]):
            self.assertIn("Model Restored!", self.assert_well(helpers.train(*args)))
        self.assertEqual(3, tf.train.load_variable("logs/model.ckpt-2", "Variable"))

    def test_drawn_faces_are_never_taken_for_its_data(self):
        run_book_program(dropout_of_today, tf.train.SaverDef.V2)
        before = helpers.contents("logs")
        for args in (["--mode=test"], ["--max_iterations=3"]):
            status, _, errors = helpers.run_script(EmotionDetector, "--logs_dir=logs", *args)
            self.assertEqual(1, status)
            self.assertRegex(errors, r"\nError: .*logs/model.ckpt-0 does not say .*name its data with --data_dir.\n$")
        self.assertEqual(before, helpers.contents("logs"))

    def test_without_checkpoint_in_the_old_format(self):
        run_book_program(dropout_of_today, tf.train.SaverDef.V1)
        os.remove("logs/checkpoint")
        helpers.write_data()
        self.assertIn("Model Restored!", self.assert_well(helpers.train("--max_iterations=2")))

    def test_ours_restores_in_the_book_s_program(self):
        """The same 27 names and shapes, which is all that a Saver asks for."""
        helpers.write_data()
        helpers.train("--max_iterations=1", "--logs_dir=ours")
        run_book_program(dropout_of_today, tf.train.SaverDef.V2)
        variables = dict(tf.train.list_variables("ours"))
        self.assertEqual(27, len(variables))
        self.assertEqual(variables, dict(tf.train.list_variables("logs")))
