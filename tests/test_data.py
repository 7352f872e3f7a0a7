"""read_data: the arrays, the split, the cache, the practice faces."""
import hashlib
import os
import unittest

import helpers
import numpy as np

import EmotionDetectorUtils


class ReadDataTest(helpers.TestCase):

    def test_arrays_are_those_of_the_files(self):
        labels, pixels = helpers.faces(20)
        helpers.write_csv("data/train.csv", labels, pixels)
        helpers.write_csv("data/test.csv", None, pixels[:3])
        order = np.random.RandomState(0).permutation(20)
        images = (pixels / np.float32(255)).astype(np.float32).reshape(20, 48, 48, 1)

        for attempt in ("from the files", "from the cache"):
            with self.subTest(attempt):
                train_images, train_labels, valid_images, valid_labels, test_images = \
                    EmotionDetectorUtils.read_data("data")
                np.testing.assert_array_equal(valid_images, images[order[:2]])
                np.testing.assert_array_equal(train_images, images[order[2:]])
                np.testing.assert_array_equal(test_images, images[:3])
                np.testing.assert_array_equal(valid_labels, np.eye(7)[labels[order[:2]]])
                np.testing.assert_array_equal(train_labels, np.eye(7)[labels[order[2:]]])
                for array in (train_images, train_labels, valid_images, valid_labels, test_images):
                    self.assertEqual(array.dtype, np.float32)
            self.assertTrue(os.path.exists("data/EmotionDetectorData.npz"))

    def test_split_of_the_whole_kaggle_set(self):
        """3,761 and 417 of 4,178: the sizes that the book prints."""
        train_images, _, valid_images, _, test_images = EmotionDetectorUtils.read_data(
            EmotionDetectorUtils.DATA_DIR)
        self.assertEqual([3761, 417, 1312], [len(train_images), len(valid_images),
                                             len(test_images)])

    def test_fer2013_header_order_and_further_columns(self):
        labels, pixels = helpers.faces(12)
        with open("train.csv", "w", newline="") as file:
            file.write("\ufeff emotion, Usage, pixels\r\n")
            file.writelines(f"{label},\"a, b\",{' '.join(map(str, row))}\r\n"
                            for label, row in zip(labels, pixels))
            file.write("\r\n\r\n")
        found_labels, found_pixels, dropped = EmotionDetectorUtils.read_csv("train.csv")
        np.testing.assert_array_equal(found_labels, labels)
        np.testing.assert_array_equal(found_pixels, pixels)
        self.assertEqual(dropped, 0)

    def test_without_test_csv_the_test_set_is_empty(self):
        helpers.write_csv("train.csv", *helpers.faces(10))
        self.assertEqual((0, 48, 48, 1), EmotionDetectorUtils.read_data(".")[4].shape)

    def test_cache_follows_the_content_of_the_files(self):
        labels, pixels = helpers.faces(20)
        helpers.write_csv("train.csv", labels, pixels)
        EmotionDetectorUtils.read_data(".")
        before = os.stat("train.csv")
        helpers.write_csv("train.csv", (labels + 1) % 7, pixels)
        os.utime("train.csv", ns=(before.st_atime_ns, before.st_mtime_ns))
        self.assertEqual(before.st_size, os.stat("train.csv").st_size)
        valid_labels = EmotionDetectorUtils.read_data(".")[3]
        order = np.random.RandomState(0).permutation(20)
        np.testing.assert_array_equal((labels[order[:2]] + 1) % 7, valid_labels.argmax(axis=1))

    def test_training_data_is_named_by_content(self):
        helpers.write_csv("train.csv", *helpers.faces(10))
        with open("train.csv", "rb") as file:
            content = hashlib.sha256(file.read()).hexdigest()
        self.assertEqual(f"sha256:{content}", EmotionDetectorUtils.training_data("."))
        self.assertEqual("practice faces",
                         EmotionDetectorUtils.training_data(EmotionDetectorUtils.DATA_DIR))


class PracticeFacesTest(unittest.TestCase):

    def test_same_faces_on_every_machine(self):
        labels, pixels = EmotionDetectorUtils.draw_faces(4178, seed=0)
        self.assertEqual((4178, 2304), pixels.shape)
        self.assertEqual([579, 574, 590, 667, 580, 605, 583], np.bincount(labels).tolist())
        self.assertEqual("14dfacca412251d9", hashlib.sha256(pixels).hexdigest()[:16])


if __name__ == "__main__":
    unittest.main()
