"""The graph: its variables and names, and its arithmetic against NumPy."""
import unittest

import helpers  # noqa: F401  # first of all
import numpy as np
import tensorflow.compat.v1 as tf
from absl.testing import parameterized

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


class GraphTest(unittest.TestCase):

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

    @EmotionDetectorUtils.new_graph()
    def test_dropout_is_off_unless_fed(self):
        dataset, _, dropout_prob, pred, _ = build()
        images = np.random.RandomState(0).rand(4, 48, 48, 1)
        with tf.Session() as sess:
            sess.run(tf.global_variables_initializer())
            answers = [sess.run(pred, {dataset: images}) for _ in range(2)]
            dropped = [sess.run(pred, {dataset: images, dropout_prob: 0.5}) for _ in range(2)]
        np.testing.assert_array_equal(*answers)
        self.assertGreater(abs(dropped[0] - dropped[1]).max(), 0)
        self.assertGreater(abs(dropped[0] - answers[0]).max(), 0)


class NextBatchTest(parameterized.TestCase):

    @parameterized.parameters((3761, 0, 0), (3761, 28, 3584), (3761, 29, 79), (129, 7, 0))
    def test_offset(self, count, step, offset):
        images, labels = np.arange(count), np.arange(count) * 2
        batch = EmotionDetector.get_next_batch(images, labels, step)
        np.testing.assert_array_equal(batch[0], np.arange(offset, offset + 128))
        np.testing.assert_array_equal(batch[1], 2 * np.arange(offset, offset + 128))

    @parameterized.parameters(128, 5)
    def test_small_sets_are_one_batch(self, count):
        for step in (0, 1, 1000):
            batch = EmotionDetector.get_next_batch(np.arange(count), np.arange(count), step)
            np.testing.assert_array_equal(batch[0], np.arange(count))
