"""Tell the emotion of faces on photographs with the network that EmotionDetector.py trained.

    python EmotionDetectorTest.py face.jpg [more images, folders, patterns ...]

The chapter promises this test and does not print it (the book's repository calls its
own `test_your_image.py`). This one restores the saved graph, and reads no data set.
"""
# Not in the book: the whole of this file.
if __name__ == "__main__":
    import EmotionDetectorUtils
    EmotionDetectorUtils.prepare_script()

import glob
import os
import time

import tensorflow.compat.v1 as tf
from absl import flags

import EmotionDetector
import EmotionDetectorUtils
from EmotionDetectorUtils import EMOTIONS, UserError, first_cause, warn

FLAGS = flags.FLAGS
flags.declare_key_flag("logs_dir")
flags.DEFINE_list("box", None, "LEFT,TOP,WIDTH,HEIGHT of the face in each image, in pixels; "
                  "otherwise the largest square in the middle")
flags.DEFINE_string("figure", None, "File to draw images and answers into")
flags.DEFINE_bool("show", False, "Show that drawing in a window, where a box can be dragged over a face")
flags.DEFINE_string("csv", None, "File to write the answers into, a row for each image")
MAX_DRAWN = 20  # images in one drawing


def restore_model(sess):
    """Restore the model of --logs_dir, with its own graph or, where that is lost, `emotion_cnn`'s.

    Returns a sentence that goes with its answers, or "". Raises a UserError where there is no
    model, or it is damaged, or of another network.
    """
    with EmotionDetector.checkpoint_errors():
        ckpt = tf.train.get_checkpoint_state(FLAGS.logs_dir)
        path = EmotionDetector.find_checkpoint(ckpt, needed=True).model_checkpoint_path
        if os.path.exists(path + ".meta"):
            saver = tf.train.import_meta_graph(path + ".meta", clear_devices=True)
        else:
            input_dataset = tf.placeholder(tf.float32, [None, 48, 48, 1], name="input")
            tf.nn.softmax(EmotionDetector.emotion_cnn(input_dataset, 1.0), name="output")
            saver = tf.train.Saver()
        saver.restore(sess, path)
        if not abs(classify(sess, [[[[0]] * 48] * 48]).sum() - 1) < 1e-3:  # NaN, too
            raise ValueError("its answer to a black image is no probabilities")
        trained_on = EmotionDetector.read_fingerprint(path) or ""
    if not trained_on.startswith(EmotionDetectorUtils.PRACTICE_FACES):
        return ""
    notice = ("was trained on drawn practice faces and has never seen a photograph: do not believe its "
              "answers on one.")
    warn(f"{os.path.abspath(path)} {notice}")
    return f"This model {notice}"


def classify(sess, images):
    """Return the restored model's probabilities, float32 [n, 7], of images [n, 48, 48, 1] in 0..1."""
    # In the book's graph dropout is a constant: what goes into it is fed in place of what comes out
    h_fc1 = EmotionDetector.run_in_batches(sess, "fc_1/Relu:0", {"input:0": images})
    h_fc1_dropout = sess.graph.get_operation_by_name("fc_2/MatMul").inputs[0]
    return EmotionDetector.run_in_batches(sess, "output:0", {h_fc1_dropout: h_fc1})


def expand_paths(word):
    """Return the files that a word names: one file, the pictures in a folder, or those that match a pattern.

    What is left out is counted on standard error. Raises a UserError where no picture is among them.
    """
    if os.path.isdir(word):
        paths = EmotionDetectorUtils.list_folder(word)
    else:
        paths = [] if os.path.lexists(word) else sorted(glob.glob(word, recursive=True))
        if "**" in word:  # which also stands for the folders themselves
            paths = [path for path in paths if not os.path.isdir(path)]
        if not paths:
            return [word]
    pictures, others = EmotionDetectorUtils.pick_pictures(paths)
    if not pictures:
        raise UserError(f"{os.path.abspath(word)} holds no picture of a kind that can be read "
                        f"({others or 'it is empty'}): save them as JPEG or PNG, or name their own folder.")
    if others:
        warn(f"{os.path.abspath(word)}: left out: {others}.")
    return pictures


def attempt(function, values):
    """Return (value, function(value)) for each value but those where it fails, which is told."""
    results = []
    for value in values:
        try:
            results.append((value, function(value)))
        except (UserError, OSError) as error:
            warn(f"Error: {first_cause(error)}")
    return results


@EmotionDetectorUtils.new_graph()
def main(argv):
    """Classify the images on the command line; the exit status is 1 if one could not be read."""
    words = argv[1:]
    if not words:
        raise flags.Error("Name the images to classify: face.jpg ...")
    found = attempt(expand_paths, words)
    names = [name for _, paths in found for name in paths]
    check_usage(names)
    read = attempt(lambda name: EmotionDetectorUtils.read_image(name, FLAGS.box), names)
    if not read:
        return 1
    with tf.Session(config=tf.ConfigProto(device_count={"GPU": 0})) as sess:  # one answer on every machine
        notice = restore_model(sess)
        probabilities = classify(sess, [image for _, image in read])
        emotions = [EMOTIONS[row.argmax()] for row in probabilities]
        for (name, _), emotion, row in zip(read, emotions, probabilities):
            print(f"{name}: {emotion}")
            for word, probability in zip(EMOTIONS, row):
                print(f"{word} = {probability:.2%}")

        if FLAGS.csv:
            columns = {"path": [name for name, _ in read], "emotion": emotions}
            EmotionDetectorUtils.write_answers(FLAGS.csv, columns, probabilities)
        if FLAGS.figure or FLAGS.show:
            answers = [(name, image, row) for (name, image), row in zip(read, probabilities)]
            draw_answers(sess, answers, notice)
    return 1 if len(found) < len(words) or len(read) < len(names) else 0


def check_usage(names):
    """Raise flags.Error for a drawing that cannot be, and for a file that is one of the images."""
    if FLAGS.figure or FLAGS.show:
        if len(names) > MAX_DRAWN:
            raise flags.Error(f"{len(names)} images are too many for a drawing, expected at most "
                              f"{MAX_DRAWN}: leave out --figure and --show, or name fewer")
        for name in names:
            if os.path.exists(name) and not os.path.isfile(name):
                raise flags.Error(f"{name} is a pipe, which can be read once, and a drawing reads it "
                                  "again: save it as a file, and name that")
    for path in filter(os.path.exists, (FLAGS.figure or "", FLAGS.csv or "")):
        if any(os.path.exists(name) and os.path.samefile(name, path) for name in names):
            raise flags.Error(f"{os.path.abspath(path)} is one of the images: name another file to write")


def draw_answers(sess, answers, notice):
    """Draw answers, each a name, an image [48, 48, 1], probabilities [7], into --figure and a window."""
    plt = EmotionDetectorUtils.load_pyplot(FLAGS.show)
    figure = (plt.figure if FLAGS.show else plt.Figure)(figsize=(9, 3 * len(answers)), layout="tight")
    panels = figure.subplots(len(answers), 3, squeeze=False, width_ratios=(5, 5, 6), subplot_kw={"anchor": "N"})
    for panel, answer in zip(panels, answers):
        draw_answer(*panel, *answer)
    if notice:  # the drawing is what is passed on
        figure.supxlabel(notice, fontsize="small")
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # or each answer would move the photograph that a box is dragged on
    if FLAGS.figure:
        EmotionDetectorUtils.save_figure(figure, FLAGS.figure)
    if FLAGS.show:
        if not EmotionDetectorUtils.INTERACTIVE:  # no window waits in a notebook
            for panel, (name, _, _) in zip(panels, answers):
                select_box(sess, *panel, name)
        timer = figure.canvas.new_timer(interval=200)
        timer.add_callback(time.sleep, 0)  # a toolkit's loop that sleeps does not hear Ctrl-C
        timer.start()
        plt.show()


def draw_answer(photograph, seen, bars, name, image, probabilities):
    """Draw one answer on three axes: the photograph with its box, what the network saw, the seven bars."""
    from matplotlib import patches, patheffects

    picture = EmotionDetectorUtils.open_picture(name, "RGB")
    width, height = picture.size
    left, top, box_width, box_height = EmotionDetectorUtils.crop_box(name, picture.size, FLAGS.box)
    picture.thumbnail((400, 400))
    photograph.imshow(picture, cmap="Greys_r", vmin=0, vmax=255, extent=(0, width, height, 0))
    photograph.add_patch(patches.Rectangle(
        (left, top), box_width, box_height, fill=False, color="r", clip_on=False,
        path_effects=[patheffects.withStroke(linewidth=3, foreground="w")]))
    title = os.path.basename(name).encode(errors="replace").decode()
    photograph.set_title(title if len(title) <= 24 else "\u2026" + title[-23:], parse_math=False)
    seen.imshow(image[:, :, 0], cmap="Greys_r", vmin=0, vmax=1)
    seen.set_title("what the network saw")
    bars.barh(EMOTIONS, 100 * probabilities)
    bars.set(xlim=(0, 100), xlabel="%", title=likeliest(probabilities))
    bars.invert_yaxis()
    photograph.axis("off")
    seen.axis("off")


def likeliest(probabilities):
    """Return the likeliest emotion with its probability: "surprise 68%"."""
    return f"{EMOTIONS[probabilities.argmax()]} {probabilities.max():.0%}"


def select_box(sess, photograph, seen, bars, name):
    """Let a box be dragged on a drawn photograph, and answer for each."""
    from matplotlib.widgets import RectangleSelector

    def ask(_event):
        nonlocal answered
        dragged = selector.get_visible()  # a mere click hides the box
        selector.set_visible(True)
        photograph.figure.canvas.draw_idle()
        if not dragged or selector.extents == answered:
            selector.extents = answered
            return
        left, right, top, bottom = map(round, selector.extents)
        box = left, top, right - left, bottom - top
        try:
            image = EmotionDetectorUtils.network_image(
                picture, EmotionDetectorUtils.crop_box(name, picture.size, box))
        except UserError as error:
            warn(f"Error: {error}")
            selector.extents = answered
            return
        answered = selector.extents
        probabilities, = classify(sess, [image])
        print(f"{name} --box={','.join(map(str, box))}: {EMOTIONS[probabilities.argmax()]}")
        seen.images[0].set_data(image[:, :, 0])
        for bar, probability in zip(bars.patches, probabilities):
            bar.set_width(100 * probability)
        bars.set_title(likeliest(probabilities))

    picture = EmotionDetectorUtils.open_picture(name)  # as `read_image` does
    first, = photograph.patches
    first.remove()
    photograph.set_title(f"{photograph.get_title()}\ndrag a box over the face", parse_math=False,
                         fontsize="small")
    selector = RectangleSelector(
        photograph, lambda *_: None, button=1, interactive=True, minspanx=5, minspany=5, spancoords="pixels",
        props={"fill": False, "edgecolor": "r", "clip_on": False, "path_effects": first.get_path_effects()},
        state_modifier_keys={"rotate": None, "clear": None})
    (left, top), (right, bottom) = first.get_bbox().get_points()
    selector.extents = answered = left, right, top, bottom
    photograph.figure.canvas.mpl_connect("button_release_event", ask)  # after the selector's own


if __name__ == "__main__":
    EmotionDetectorUtils.run_script(main, tf.errors.OpError, takes_files=True)
