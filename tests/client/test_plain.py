import json

from tinyfarm.client.plain import enum_name, plain
from tinyfarm.v1 import evaluation_pb2, job_pb2, task_pb2


def test_enums_are_short_words_and_big_numbers_are_numbers():
    job = job_pb2.Job(name="projects/p/jobs/1", kind=job_pb2.JOB_KIND_SEARCH, state=job_pb2.JOB_STATE_SUCCEEDED)
    job.search_result.networks_estimated = 2**60
    document = plain(job)
    assert (document["kind"], document["state"]) == ("search", "succeeded")
    assert document["search_result"]["networks_estimated"] == 2**60
    assert enum_name(job, "state") == "succeeded"


def test_absent_messages_and_optional_fields_are_null_and_defaults_are_not():
    document = plain(evaluation_pb2.EvaluationResult(macs=0))
    assert document["macs"] == 0 and document["layers"] == []
    assert document["cycles"] is None and document["twin_equal"] is None


def test_maps_times_and_infinities_are_json():
    job = job_pb2.Job()
    job.create_time.FromMilliseconds(1_700_000_000_000)
    assert plain(job)["create_time"] == "2023-11-14T22:13:20Z"
    end = task_pb2.FrontEnd(name="log_mel", parameters={"bins": 40.0})
    assert plain(end) == {"name": "log_mel", "parameters": {"bins": 40.0}}
    result = evaluation_pb2.EvaluationResult()
    result.cycles.value = float("inf")
    json.dumps(plain(result), allow_nan=False)


def test_a_value_of_a_later_version_keeps_its_number():
    job = job_pb2.Job.FromString(bytes((0x18, 99)))  # state, field 3, = 99
    assert plain(job)["state"] == "99"
