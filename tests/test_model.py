"""The graph: its variables and names, and its arithmetic against NumPy and against TensorFlow 1."""
import ast
import os
from unittest import mock

import helpers
import legacy
import numpy as np
import tensorflow.compat.v1 as tf

import EmotionDetector
import EmotionDetectorUtils

SHAPES = {"W_conv1": [5, 5, 1, 32], "W_conv2": [3, 3, 32, 64], "W_fc1": [9216, 256],
          "W_fc2": [256, 7], "b_conv1": [32], "b_conv2": [64], "b_fc1": [256], "b_fc2": [7]}


def build():
    """The chapter's graph: input, labels, dropout_prob, pred, loss."""
    dataset = tf.placeholder(tf.float32, [None, 48, 48, 1], name="input")
    label = tf.placeholder(tf.float32, [None, 7])
    global_step = tf.Variable(0, trainable=False)
    dropout_prob = tf.placeholder_with_default(1.0, [], name="dropout_prob")
    pred = EmotionDetector.emotion_cnn(dataset, dropout_prob)
    loss_val = EmotionDetector.loss(pred, label)
    tf.train.AdamOptimizer(EmotionDetector.LEARNING_RATE).minimize(loss_val, global_step)
    return dataset, label, dropout_prob, pred, loss_val


def convolve(images, kernels, bias):
    """SAME convolution, ReLU and 2x2 max pooling in NumPy: [n, h, w, c] to [n, h/2, w/2, f]."""
    size = kernels.shape[0]
    pad = size // 2
    padded = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    result = np.maximum(np.einsum("nhwcyx,yxcf->nhwf", windows, kernels, optimize=True) + bias, 0)
    n, h, w, f = result.shape
    return result.reshape(n, h // 2, 2, w // 2, 2, f).max(axis=(2, 4))


class GraphTest(helpers.TestCase):

    @EmotionDetectorUtils.new_graph()
    def test_variables_collections_and_names(self):
        build()
        expected = {name + slot: shape for name, shape in SHAPES.items()
                    for slot in ("", "/Adam", "/Adam_1")}
        expected |= {"beta1_power": [], "beta2_power": [], "Variable": []}
        found = {v.op.name: v.shape.as_list() for v in tf.global_variables()}
        self.assertEqual(expected, found)
        self.assertEqual(27, len(found))
        self.assertEqual({"VariableV2"}, {v.op.type for v in tf.global_variables()})
        self.assertEqual(sorted(SHAPES), sorted(v.op.name for v in tf.trainable_variables()))
        self.assertEqual(["int32"], [v.dtype.base_dtype.name for v in tf.global_variables()
                                     if v.op.name == "Variable"])
        self.assertEqual(4, len(tf.get_collection("losses")))
        tags = [op.type for op in tf.get_default_graph().get_operations() if "Summary" in op.type]
        self.assertEqual((8, 2), (tags.count("HistogramSummary"), tags.count("ScalarSummary")))
        scopes = {op.name.split("/")[0] for op in tf.get_default_graph().get_operations()}
        self.assertLessEqual({"conv1", "conv2", "fc_1", "fc_2"}, scopes)

    @EmotionDetectorUtils.new_graph()
    def test_forward_pass_and_loss_against_numpy(self):
        dataset, label, _, pred, loss_val = build()
        rng = np.random.RandomState(3)
        images = rng.rand(3, 48, 48, 1).astype(np.float32)
        labels = np.eye(7, dtype=np.float32)[[2, 6, 0]]
        values = {name: rng.normal(0, 0.05, shape) for name, shape in SHAPES.items()}
        with tf.Session() as sess:
            for variable in tf.trainable_variables():
                variable.load(values[variable.op.name].astype(np.float32), sess)
            found, found_loss = sess.run([pred, loss_val], {dataset: images, label: labels})

        hidden = convolve(images, values["W_conv1"], values["b_conv1"])
        hidden = convolve(hidden, values["W_conv2"], values["b_conv2"]).reshape(3, 9216)
        hidden = np.maximum(hidden @ values["W_fc1"] + values["b_fc1"], 0)
        logits = hidden @ values["W_fc2"] + values["b_fc2"]
        np.testing.assert_allclose(found, logits, rtol=1e-4, atol=1e-5)
        log_softmax = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        entropy = -(labels * log_softmax).sum(axis=1).mean()
        squares = sum((values[name] ** 2).sum() / 2 for name in values if "conv" in name)
        self.assertAlmostEqual(entropy + 0.01 * squares, found_loss, delta=1e-4)


class NextBatchTest(helpers.TestCase):

    @helpers.cases((3761, 0, 0), (3761, 28, 3584), (3761, 29, 79), (129, 7, 0), (128, 9, 0))
    def test_offset(self, count, step, offset):
        images, labels = np.arange(count), np.arange(count) * 2
        batch = EmotionDetector.get_next_batch(images, labels, step)
        np.testing.assert_array_equal(batch[0], np.arange(offset, offset + 128))
        np.testing.assert_array_equal(batch[1], 2 * np.arange(offset, offset + 128))


# What `tests/legacy.py` printed in TensorFlow 1.15.5 with Python 3.7.
LOSSES = [2.917818, 2.897289, 2.767341, 2.623296, 2.396586, 2.063121, 1.709435, 1.367675]
BEFORE = [
    0.1294806, 0.1133418, 0.178441, 0.155071, 0.1226013, 0.1365477, 0.1645166, 0.1294701, 0.1133193, 0.1785108,
    0.1551783, 0.1225369, 0.1364889, 0.1644955]
AFTER = [0.8961896, 0.06787711, 0.0050547, 0.006122508, 0.006054159, 0.01396939, 0.004732418]
MEANS = {"W_fc1/Adam": 3.770705e-05, "W_fc1/Adam_1": 4.271514e-10, "W_conv1": 0.2404662, "W_fc2": 0.003797865,
         "b_conv2": 0.1516392, "beta1_power": 0.3874204, "Variable": 8.0}


class LegacyTest(helpers.TestCase):

    def test_the_network_and_main_learn_as_in_tensorflow_1(self):
        """The network by itself; and the loop, the batches and the optimizer of `main`, from its weights."""
        found = legacy.train()
        np.testing.assert_allclose(found["before"][:14], BEFORE, rtol=0, atol=1e-6)
        np.testing.assert_allclose(found["losses"], LOSSES, rtol=0, atol=1e-4)
        np.testing.assert_allclose(found["after"][:7], AFTER, rtol=0, atol=1e-4)
        for name, mean in MEANS.items():
            np.testing.assert_allclose(found["variables"][name][1], mean, rtol=1e-3, err_msg=name)
        images, labels, weights = legacy.inputs()
        with tf.Graph().as_default(), tf.variable_scope("", use_resource=False), tf.Session() as sess:
            legacy.build()
            legacy.set_weights(sess, weights)
            os.mkdir("logs")
            tf.train.Saver().save(sess, "logs/model.ckpt", global_step=0)
        helpers.write_data()
        data = images, labels, images[:9], labels[:9], images[:0]
        with (mock.patch.object(EmotionDetectorUtils, "read_data", return_value=data),
              mock.patch.object(tf.nn, "dropout", lambda x, keep_prob: x)):
            output = self.assert_stated(helpers.train(f"--max_iterations={legacy.STEPS}"), "^4 of the 300 ", 0)
        self.assertIn("Model Restored!", output)
        reader = tf.train.load_checkpoint("logs/model.ckpt-7")
        variables = legacy.means({name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()})
        self.assertEqual({name: shape for name, (shape, _) in found["variables"].items()},
                         {name: shape for name, (shape, _) in variables.items()})
        for name, (_, mean) in variables.items():
            np.testing.assert_allclose(mean, found["variables"][name][1], rtol=1e-3, err_msg=name)

    @EmotionDetectorUtils.new_graph()
    def test_the_first_weights_are_the_book_s(self):
        legacy.build()
        with tf.Session() as sess:
            sess.run(tf.global_variables_initializer())
            values = {variable.op.name: sess.run(variable) for variable in tf.trainable_variables()}
        for name, value in values.items():
            if name.startswith("b_"):
                np.testing.assert_array_equal(0, value)
            else:
                self.assertLessEqual(abs(value).max(), 0.04)  # truncated at twice the deviation
        self.assertAlmostEqual(0.0176, values["W_fc1"].std(), delta=1e-4)  # 0.020 without truncation

    def test_dropout_is_on_where_main_trains_and_off_elsewhere(self):
        helpers.write_data()
        run, kept = tf.Session.run, []

        def watching_run(sess, fetches, feed_dict=None):
            names = [getattr(key, "name", key) for key in feed_dict or {}]
            if "input:0" in names:
                kept.append((getattr(fetches, "name", ""), run(sess, "dropout_prob:0", feed_dict)))
            return run(sess, fetches, feed_dict)

        with mock.patch.object(tf.Session, "run", watching_run):
            self.assert_well(helpers.train("--max_iterations=1"))
            self.assert_well(helpers.train("--mode=test"))
        self.assertEqual([("Adam", 0.5), ("", 0.5)], kept[:2])  # a step; loss and summary of its batch
        self.assertEqual([("add:0", 1), ("output:0", 1)], kept[2:4])  # loss and accuracy of the validation set
        self.assertEqual([("add:0", 1), ("", 1), ("", 1)], kept[4:])  # --mode=test

    def test_python_3_7_can_read_it(self):
        for name in ("EmotionDetector.py", "tests/legacy.py"):
            with open(os.path.join(helpers.ROOT, name), encoding="utf-8") as file:
                ast.parse(file.read(), feature_version=(3, 7))
