"""Stock gRPC clients (health checking, reflection) against `ossai serve`: one line per check, status 1 when one fails.

Usage: grpc_stock.py http://127.0.0.1:8080 [API_KEY]
"""

import sys

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

TARGET = sys.argv[1].split("://")[-1].rstrip("/")
METADATA = [("authorization", f"Bearer {sys.argv[2]}")] if len(sys.argv) > 2 else []
PACKAGE = "ossai.orchestrator.v1"
SERVICES = [
    f"{PACKAGE}.{name}Service" for name in ("Completion", "Embedding", "Model", "Token", "Cost", "Usage")
]
CHANNEL = grpc.insecure_channel(TARGET)
FAILED = []


def check(promise):
    def run(body):
        try:
            body()
            print(f"ok    {promise}")
        except Exception as error:  # noqa: BLE001
            FAILED.append(promise)
            print(f"FAIL  {promise}: {type(error).__name__}: {error}")
        return body

    return run


class WithKey(
    grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamStreamClientInterceptor
):
    """Adds the key to every call, as a stock client is told to on its command line."""

    def _with(self, details):
        return details._replace(metadata=[*(details.metadata or []), *METADATA])

    def intercept_unary_unary(self, continuation, details, request):
        return continuation(self._with(details), request)

    def intercept_unary_stream(self, continuation, details, request):
        return continuation(self._with(details), request)

    def intercept_stream_stream(self, continuation, details, requests):
        return continuation(self._with(details), requests)


KEYED = grpc.intercept_channel(CHANNEL, WithKey())


@check("the health service says SERVING of the whole and of each service, without a key")
def _():
    health = health_pb2_grpc.HealthStub(CHANNEL)
    for service in ["", *SERVICES]:
        answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, service


@check("the health of a service nobody knows is NOT_FOUND")
def _():
    try:
        health_pb2_grpc.HealthStub(CHANNEL).Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=10)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND, error.code()
        return
    raise AssertionError("it was found")


@check("health can be watched")
def _():
    watch = health_pb2_grpc.HealthStub(CHANNEL).Watch(health_pb2.HealthCheckRequest(service=""), timeout=10)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()


def listing(path):
    """The services reflection lists; v1 and v1alpha have the same messages."""
    call = KEYED.stream_stream(
        path,
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    answers = call(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=10)
    return [service.name for service in next(answers).list_services_response.service]


@check("reflection v1 lists every service")
def _():
    names = listing("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
    assert set(SERVICES) | {"grpc.health.v1.Health"} <= set(names), names


@check("reflection v1alpha lists every service")
def _():
    names = listing("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    assert set(SERVICES) | {"grpc.health.v1.Health"} <= set(names), names


def method(service, name):
    """Message classes of a method, all from reflection, as grpcurl builds them."""
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(KEYED))
    found = pool.FindServiceByName(f"{PACKAGE}.{service}").FindMethodByName(name)
    return (message_factory.GetMessageClass(kind) for kind in (found.input_type, found.output_type))


def unary(service, name, fields, metadata=()):
    kind, answer = method(service, name)
    call = KEYED.unary_unary(
        f"/{PACKAGE}.{service}/{name}",
        request_serializer=kind.SerializeToString,
        response_deserializer=answer.FromString,
    )
    from google.protobuf.json_format import ParseDict

    return call(ParseDict(fields, kind()), timeout=30, metadata=list(metadata))


QUESTION = {
    "model": "local/extract",
    "messages": [
        {
            "role": "ROLE_USER",
            "text": "The sky is blue because air scatters blue light.\n\nWhy is the sky blue?",
        }
    ],
}


@check("models are listed by a client that learnt the protocol from reflection")
def _():
    ids = [model.id for model in unary("ModelService", "ListModels", {}).models]
    assert "local/extract" in ids, ids


@check("tokens are counted")
def _():
    count = unary("TokenService", "CountTokens", {"model": "o200k_base", "text": "hello world"}).count
    assert count.tokens == 2 and count.exact, count


@check("a completion and its stream say the same")
def _():
    from google.protobuf.json_format import ParseDict

    whole = unary("CompletionService", "CreateCompletion", {"request": QUESTION}).completion
    assert "scatters" in whole.text and whole.cost.total_nano_usd == 0, whole
    kind, answer = method("CompletionService", "StreamCompletion")
    call = KEYED.unary_stream(
        f"/{PACKAGE}.CompletionService/StreamCompletion",
        request_serializer=kind.SerializeToString,
        response_deserializer=answer.FromString,
    )
    events = list(call(ParseDict({"request": QUESTION}, kind()), timeout=30))
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert "".join(event.text_delta.text for event in events) == whole.text
    assert events[-1].end.completion.text == whole.text


@check("a model that is not there is NOT_FOUND with rich details")
def _():
    from google.rpc import error_details_pb2, status_pb2

    try:
        unary("EmbeddingService", "CreateEmbedding", {"request": {"model": "local/nope", "text": "x"}})
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND, error.code()
        trailing = dict(error.trailing_metadata())
        assert trailing["x-should-retry"] == "false", trailing
        status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
        info = error_details_pb2.ErrorInfo()
        assert status.details[0].Unpack(info) and info.reason == "NOT_FOUND" and info.domain == "ossai.dev"
        return
    raise AssertionError("it was found")


print(f"grpcio {grpc.__version__}: {len(FAILED)} failed")
sys.exit(1 if FAILED else 0)
