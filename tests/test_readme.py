"""The guide: what it points at is there, and the page's statements stand where it says."""
import os
import re

import helpers

# The page's statements in its order, but for the functions before `main`, with what Python 3,
# `tf.compat.v1` and the guide's table of differences change.
STATEMENTS = """
import os, sys, inspect
tf.flags.DEFINE_string("data_dir", "EmotionDetector/", "Path to data files")
NUM_LABELS = 7
VALIDATION_PERCENT = 0.1
def main(argv=None):
train_images, train_labels, valid_images, valid_labels, test_images =
EmotionDetectorUtils.read_data(FLAGS.data_dir)
print("Train size: %s" % train_images.shape[0])
print('Validation size: %s' % valid_images.shape[0])
print("Test size: %s" % test_images.shape[0])
input_dataset = tf.placeholder(tf.float32, [None, IMAGE_SIZE, IMAGE_SIZE, 1], name="input")
input_labels = tf.placeholder(tf.float32, [None, NUM_LABELS])
global_step = tf.Variable(0, trainable=False)
dropout_prob = tf.placeholder
pred = emotion_cnn(input_dataset
output_pred = tf.nn.softmax(pred, name="output")
loss_val = loss(pred, input_labels)
train_op = tf.train.AdamOptimizer(LEARNING_RATE).minimize(loss_val, global_step)
summary_op = tf.summary.merge_all()
with tf.Session() as sess:
sess.run(tf.global_variables_initializer())
saver = tf.train.Saver()
ckpt = tf.train.get_checkpoint_state(FLAGS.logs_dir)
if ckpt and ckpt.model_checkpoint_path:
saver.restore(sess, ckpt.model_checkpoint_path)
print("Model Restored!")
summary_writer = tf.summary.FileWriter(FLAGS.logs_dir, sess.graph)
for step in range(
batch_image, batch_label = get_next_batch(train_images, train_labels, step)
feed_dict = {input_dataset: batch_image, input_labels: batch_label}
sess.run(train_op, feed_dict=feed_dict)
if step % 10 == 0:
train_loss, summary_str = sess.run([loss_val, summary_op], feed_dict=feed_dict)
summary_writer.add_summary(summary_str, global_step=step)
print("Training Loss: %f" % train_loss)
if step % 100 == 0:
feed_dict={input_dataset: valid_images, input_labels: valid_labels})
print("%s Validation Loss: %f" % (datetime.now(), valid_loss))
saver.save(sess, os.path.join(FLAGS.logs_dir, 'model.ckpt'), global_step=step)
if __name__ == "__main__":
"""
LOOK_AT_THE_DATA = """
print("train images shape = ", train_images.shape)
print("test labels shape = ", test_images.shape)
image_0 = train_images[0]
label_0 = train_labels[0]
print("image_0 shape = ", image_0.shape)
print("label set = ", label_0)
image_0 = np.resize(image_0, (48, 48))
plt.imshow(image_0, cmap='Greys_r')
plt.show()
"""


def read(name):
    """The text of a file of the project."""
    with open(os.path.join(helpers.ROOT, name), encoding="utf-8") as file:
        return file.read()


class PageTest(helpers.TestCase):

    @helpers.parameterized.parameters(("EmotionDetector.py", STATEMENTS),
                                      ("EmotionDetectorUtils.py", LOOK_AT_THE_DATA))
    def test_every_printed_statement_in_its_order(self, name, statements):
        text = re.sub(r"\s+", " ", re.sub(r" +# .*", "", read(name)))
        place = 0
        for statement in statements.strip().splitlines():
            found = text.find(statement, place)
            self.assertGreaterEqual(found, 0, statement)
            place = found + len(statement)

    def test_the_guide_s_lines_are_where_the_listings_are(self):
        rows = re.findall(r"^\| .* \| `([\w.]*)` +line (\d+): `(.+?)`", read("README.md"), re.MULTILINE)
        self.assertGreater(len(rows), 12)
        for name, line, start in rows:
            self.assertIn(start, read(name).splitlines()[int(line) - 1])

    def test_the_guide_s_pictures(self):
        names = re.findall(r"\]\((\.images/[^)]*)\)", read("README.md"))
        self.assertLen(set(names), 4)
        for name in names:
            path = os.path.join(helpers.ROOT, name)
            self.assertLess(os.path.getsize(path), 150_000)
            self.assertGreater(min(helpers.picture_size(path)), 200)

    def test_the_guide_s_sentences_are_the_program_s(self):
        source = read("EmotionDetector.py") + read("EmotionDetectorUtils.py")
        source = re.sub(r'"\n +f?"', "", source)
        for sentence in ("is of another network, or of another program", "was trained on other data",
                         "holds no model", "Training has stopped: ", "cannot be read as a picture",
                         "matplotlib cannot open a window", "it has no column"):
            self.assertIn(sentence, source)
            self.assertIn(sentence, read("README.md"))
