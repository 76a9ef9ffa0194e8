"""The upload state machine against a model of it: random requests, with right, stale
and forged handles, by two processes over the same stores, some in the middle of another."""

import hashlib

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from harness.driver import Driver

PROCESS = st.sampled_from([b"0", b"1"])
TAIL = 64 << 10     # so many bytes at most wait in the row for a part to begin with them
DATA = st.one_of(st.binary(max_size=5), st.integers(1, 300).map(lambda size: b"z" * size),
                 st.sampled_from([TAIL - 1, TAIL, TAIL + 1, 30_000]).map(lambda size: b"y" * size))
UNKNOWN = ["404", "BLOB_UPLOAD_UNKNOWN"]


def digest_of(algorithm, data):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


class Session:
    def __init__(self):
        self.data = b""
        self.tail = 0
        self.has_parts = False
        self.ended = False

    def take(self, data):
        self.data += data
        self.tail += len(data)
        if self.tail > TAIL:
            self.tail = 0
            self.has_parts = True


class Handle:
    def __init__(self, session, answer):
        self.session = session
        offset, self.id, self.token = answer
        self.offset = int(offset)


class Uploads(RuleBasedStateMachine):
    handles = Bundle("handles")

    def __init__(self):
        super().__init__()
        self.driver = Driver()
        assert self.driver("upload-world") == ["yes"]
        self.sessions = []
        self.blobs = {}

    def teardown(self):
        self.driver.process.stdin.close()
        assert self.driver.process.wait(10) == 0

    def ask(self, command, process, handle, *more):
        return self.driver(f"upload-{command}", process, handle.id, handle.token, *more)

    def moved(self, answer, session):
        """The handle of an answer that says where the upload is."""
        handle = Handle(session, answer)
        assert handle.offset == len(session.data)
        return handle

    def refused_elsewhere(self, answer, session):
        assert answer[:3] == ["no", "416", "RANGE_INVALID"]
        return self.moved(answer[3:], session)

    @rule(target=handles, process=PROCESS, algorithm=st.sampled_from([b"", b"sha256", b"sha512"]))
    def begin(self, process, algorithm):
        answer = self.driver("upload-begin", process, algorithm)
        assert answer[0] == "yes"
        self.sessions.append(Session())
        return self.moved(answer[1:], self.sessions[-1])

    @rule(target=handles, handle=handles, process=PROCESS)
    def get(self, handle, process):
        answer = self.ask("get", process, handle)
        if handle.session.ended:
            assert answer == ["no", *UNKNOWN]
            return handle
        assert answer[0] == "yes"
        return self.moved(answer[1:], handle.session)

    @rule(target=handles, handle=handles, process=PROCESS, data=DATA,
          skew=st.sampled_from([None, 0, 0, 0, 1, -1]), excess=st.sampled_from([0, 0, 0, 1, -1]))
    def append(self, handle, process, data, skew, excess):
        session = handle.session
        first = len(session.data) + (skew or 0)
        last = first + len(data) + excess - 1
        ranged = skew is not None and data and 0 <= first <= last
        answer = self.ask("append", process, handle, data,
                          f"{first}-{last}".encode() if ranged else b"", b"")
        if session.ended:
            assert answer == ["no", *UNKNOWN]
            return handle
        if handle.offset != len(session.data) or (ranged and skew):
            return self.refused_elsewhere(answer, session)
        if ranged and excess:
            assert answer == ["no", "400", "SIZE_INVALID"]
            return handle
        assert answer[0] == "yes"
        session.take(data)
        return self.moved(answer[1:], session)

    @rule(target=handles, handle=handles, process=PROCESS, mine=DATA.filter(len),
          rivals=DATA.filter(len))
    def append_while_another_does(self, handle, process, mine, rivals):
        session = handle.session
        answer = self.ask("append", process, handle, mine, b"", rivals)
        if session.ended:
            assert answer == ["no", *UNKNOWN]
            return handle
        if handle.offset == len(session.data):
            session.take(rivals)
        return self.refused_elsewhere(answer, session)

    @rule(handle=handles, process=PROCESS, last=DATA,
          algorithm=st.sampled_from(["sha256", "sha256", "sha512"]), wrong=st.booleans())
    def finish(self, handle, process, last, algorithm, wrong):
        session = handle.session
        whole = session.data + last
        digest = digest_of(algorithm, whole + b"!" if wrong else whole)
        answer = self.ask("finish", process, handle, last, digest.encode())
        if session.ended:
            assert answer == (["yes"] if digest in self.blobs else ["no", *UNKNOWN])
        elif handle.offset != len(session.data):
            self.refused_elsewhere(answer, session)
        else:
            session.ended = True
            if wrong:
                assert answer == ["no", "400", "DIGEST_INVALID"]
            else:
                assert answer == ["yes"]
                self.blobs[digest] = whole

    @rule(handle=handles, process=PROCESS)
    def cancel(self, handle, process):
        answer = self.ask("cancel", process, handle)
        assert answer == (["no", *UNKNOWN] if handle.session.ended else ["yes"])
        handle.session.ended = True

    @rule(handle=handles, process=PROCESS, at=st.integers(0, 40), command=st.sampled_from(
        ["get", "append", "cancel"]))
    def forge(self, handle, process, at, command):
        token = bytearray(handle.token)
        at %= len(token)
        token[at] = ord("1") if token[at] != ord("1") else ord("2")
        answer = self.driver(f"upload-{command}", process, handle.id, bytes(token), b"data")
        assert answer == ["no", *UNKNOWN]

    @invariant()
    def blobs_are_what_their_digests_say(self):
        for digest, data in self.blobs.items():
            for process in (b"0", b"1"):
                assert self.driver("upload-blob", process, digest.encode()) == ["yes", data]

    @invariant()
    def nothing_is_left_over(self):
        going_on = [session for session in self.sessions if not session.ended]
        with_parts = [session for session in going_on if session.has_parts]
        assert self.driver("upload-left") == [str(len(with_parts)), str(len(going_on))]


Uploads.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None,
                                     derandomize=True, database=None,
                                     suppress_health_check=list(HealthCheck))
TestUploads = Uploads.TestCase
