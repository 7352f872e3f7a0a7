"""What the chapter's network computes, asked in TensorFlow 1 and in today's.

    python tests/legacy.py

imports this project's EmotionDetector.py, trains its network for eight steps without dropout,
and prints as JSON: the losses; the answers to three faces before and after; name, shape and mean
absolute value of each variable. It runs with TensorFlow 1.6 and Python 3.6 as with today's, so
that the same file answers the same question in both. tests/test_model.py holds the answer of
TensorFlow 1.15.5.

The inputs decide: with noise for faces, small weights and no biases, rounding alone moves the
losses by more than some faults do. With these, all TensorFlows that were tried agree to 1e-6.
Whoever changes them repeats the check: every weight perturbed by 2e-7 of itself must not move
a loss by more than 1e-5.
"""
import json
import os
import sys
from unittest import mock

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
try:
    import tensorflow.compat.v1 as tf
except ImportError:  # TensorFlow 1.6 has no such name
    import tensorflow as tf
    sys.modules["tensorflow.compat"], sys.modules["tensorflow.compat.v1"] = tf.compat, tf
    tf.compat.v1 = tf
if tf.__version__.startswith("1."):  # its Python cannot read today's; none of it takes part here
    sys.modules["EmotionDetectorUtils"] = mock.MagicMock()
import EmotionDetector

STEPS = 8
SHAPES = [("W_conv1", [5, 5, 1, 32]), ("W_conv2", [3, 3, 32, 64]), ("W_fc1", [9216, 256]), ("W_fc2", [256, 7]),
          ("b_conv1", [32]), ("b_conv2", [64]), ("b_fc1", [256]), ("b_fc2", [7])]


def inputs():
    """Return 300 faces [300, 48, 48, 1] with a bright band that tells the label, labels [300, 7], and weights."""
    sample = np.random.RandomState(7).random_sample  # the same numbers in every NumPy
    labels = (sample(300) * 7).astype(int)
    images = sample((300, 48, 48, 1)) * 0.4
    for image, label in zip(images, labels):
        image[6 * label:6 * label + 6] += 0.6
    weights = {}
    for name, shape in SHAPES:
        limit = np.sqrt(6.0 / np.prod(shape[:-1])) if name[0] == "W" else 0.3
        weights[name] = (2 * sample(shape) - 1) * limit * (0.001 if name == "W_fc2" else 1)
    return images.astype(np.float32), np.eye(7, dtype=np.float32)[labels], weights


def build():
    """Build the chapter's graph: return input, labels, answers, loss and the optimizer's operation."""
    dataset = tf.placeholder(tf.float32, [None, 48, 48, 1], name="input")
    labels = tf.placeholder(tf.float32, [None, 7])
    global_step = tf.Variable(0, trainable=False)
    pred = EmotionDetector.emotion_cnn(dataset, 1.0)
    loss_val = EmotionDetector.loss(pred, labels)
    train_op = tf.train.AdamOptimizer(EmotionDetector.LEARNING_RATE).minimize(loss_val, global_step)
    return dataset, labels, tf.nn.softmax(pred, name="output"), loss_val, train_op


def set_weights(sess, weights):
    """Set all variables in a session: the eight to weights, a dictionary, the others as at step 0."""
    sess.run(tf.global_variables_initializer())
    for variable in tf.trainable_variables():
        variable.load(weights[variable.op.name].astype(np.float32), sess)


def digits(values):
    """Return float values with the seven digits that float32 has, as a list."""
    return [float("%.7g" % value) for value in np.ravel(values)]  # noqa: UP031


def means(values):
    """Return shape and mean absolute value of each array in a dictionary."""
    return {name: [list(np.shape(value)), digits(np.mean(np.abs(value)))[0]] for name, value in values.items()}


def train():
    """Train for eight steps; return what is printed, as a dictionary."""
    images, labels, weights = inputs()
    # Reference variables, as TensorFlow 1 has them and as this project's graphs do
    with tf.Graph().as_default(), tf.variable_scope("", use_resource=False), tf.Session() as sess:
        input_dataset, input_labels, answers, loss_val, train_op = build()
        set_weights(sess, weights)
        result = {"version": tf.__version__, "losses": []}
        result["before"] = digits(sess.run(answers, {input_dataset: images[:3]}))
        for step in range(STEPS):
            batch_image, batch_label = EmotionDetector.get_next_batch(images, labels, step)
            feed_dict = {input_dataset: batch_image, input_labels: batch_label}
            result["losses"] += digits(sess.run([loss_val, train_op], feed_dict)[0])
        result["after"] = digits(sess.run(answers, {input_dataset: images[:3]}))
        result["variables"] = means({variable.op.name: sess.run(variable) for variable in tf.global_variables()})
    return result


if __name__ == "__main__":
    print(json.dumps(train(), sort_keys=True))
