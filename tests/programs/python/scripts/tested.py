"""unittest: what passes, fails, is skipped and is in error, as its report says it. Its exit code is 1."""
import io, re, sys, unittest
from unittest import mock

class Arithmetic(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.values = [1, 2, 3]
    def test_sums(self):
        self.assertEqual(sum(self.values), 6)
    def test_every_value(self):
        for value in self.values:
            with self.subTest(value=value):
                self.assertNotEqual(value, 2)
    def test_lists_that_differ(self):
        self.assertEqual([1, 2, {"a": "b"}], [1, 2, {"a": "c"}])
    def test_errors(self):
        with self.assertRaisesRegex(ZeroDivisionError, "division"):
            1 / 0
        with self.assertWarns(DeprecationWarning), self.assertLogs("logger") as logs:
            import logging, warnings
            warnings.warn("old", DeprecationWarning)
            logging.getLogger("logger").error("logged %d", 1)
        self.assertEqual(logs.output, ["ERROR:logger:logged 1"])
    @unittest.skip("on purpose")
    def test_skipped(self):
        self.fail()
    @unittest.expectedFailure
    def test_expected(self):
        self.assertTrue(False)
    def test_in_error(self):
        {}["missing"]
    def test_mocks(self):
        with mock.patch("os.getcwd", return_value="/nowhere") as patched:
            import os
            self.assertEqual(os.getcwd(), "/nowhere")
        patched.assert_called_once_with()
        thing = mock.MagicMock(spec=["method"])
        thing.method.side_effect = [1, KeyError("twice")]
        self.assertEqual(thing.method(x=1), 1)
        self.assertRaises(KeyError, thing.method)
        with self.assertRaises(AttributeError):
            thing.other

report = io.StringIO()
program = unittest.main(argv=["tested"], verbosity=2, exit=False, testRunner=unittest.TextTestRunner(report, verbosity=2))
print(re.sub(r"in [\d.]+s", "in no time", report.getvalue()))
sys.exit(not program.result.wasSuccessful())
