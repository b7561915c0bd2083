import json

from tinyfarm.client.plain import brief, enum_name, plain
from tinyfarm.v1 import error_pb2, evaluation_pb2, exploration_pb2, job_pb2, task_pb2


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


def test_error_codes_are_spelled_as_in_every_other_error_document():
    job = job_pb2.Job(error=error_pb2.Error(code=error_pb2.ERROR_CODE_NOT_FOUND, reason="UNKNOWN_BOARD"))
    assert (plain(job)["error"]["code"], brief(job)["error"]["code"]) == ("NOT_FOUND", "NOT_FOUND")


def test_brief_leaves_out_graphs_at_any_depth_and_nothing_else():
    job = job_pb2.Job(name="projects/p/jobs/1")
    job.search_result.points.append(exploration_pb2.FrontPoint(name="net-1"))
    job.search_result.points[0].network.name = "net-1"
    whole, short = (form(job)["search_result"]["points"][0] for form in (plain, brief))
    assert whole.keys() - short.keys() == {"network"}
    assert short["name"] == "net-1"
    compiled = job_pb2.Job()
    compiled.compile_result.manifest_json = "{}"
    left = plain(compiled)["compile_result"].keys() - brief(compiled)["compile_result"].keys()
    assert left == {"network", "planned_schedule", "manifest_json"}
    assert "network" in job_pb2.Job.DESCRIPTOR.fields_by_name["compile_result"].message_type.fields_by_name
