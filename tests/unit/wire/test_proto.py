"""Our proto, field by field, against the definitions that the real Envoy 1.40 carries in its binary."""

import mmap
from functools import cache

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

from demo.stack import envoy_binary
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.servicer import CHECK_PATH

F = FieldDescriptorProto
THEIR_FILES = (
    "envoy/service/auth/v3/external_auth.proto",
    "envoy/service/auth/v3/attribute_context.proto",
    "envoy/config/core/v3/base.proto",
    "envoy/config/core/v3/address.proto",
    "envoy/type/v3/http_status.proto",
    "google/rpc/status.proto",
    "google/protobuf/wrappers.proto",
)
THEIR_NAMES = {
    "CheckRequest": "envoy.service.auth.v3.CheckRequest",
    "CheckResponse": "envoy.service.auth.v3.CheckResponse",
    "DeniedHttpResponse": "envoy.service.auth.v3.DeniedHttpResponse",
    "OkHttpResponse": "envoy.service.auth.v3.OkHttpResponse",
    "AttributeContext": "envoy.service.auth.v3.AttributeContext",
    "AttributeContext.Peer": "envoy.service.auth.v3.AttributeContext.Peer",
    "AttributeContext.Request": "envoy.service.auth.v3.AttributeContext.Request",
    "AttributeContext.HttpRequest": "envoy.service.auth.v3.AttributeContext.HttpRequest",
    "Address": "envoy.config.core.v3.Address",
    "SocketAddress": "envoy.config.core.v3.SocketAddress",
    "HeaderMap": "envoy.config.core.v3.HeaderMap",
    "HeaderValue": "envoy.config.core.v3.HeaderValue",
    "HeaderValueOption": "envoy.config.core.v3.HeaderValueOption",
    "Metadata": "envoy.config.core.v3.Metadata",
    "HttpStatus": "envoy.type.v3.HttpStatus",
    "Status": "google.rpc.Status",
    "BoolValue": "google.protobuf.BoolValue",
}
"""Private names for public messages: names never cross the wire, see the head of the proto file."""
OPEN_ENUMS = {
    ("HeaderValueOption", "append_action"): "envoy.config.core.v3.HeaderValueOption.HeaderAppendAction",
    ("HttpStatus", "code"): "envoy.type.v3.StatusCode",
}
"""Where Envoy has an enum and we an int32: both are varints, and proto3 enums are open."""
LONE_MEMBERS = {("Address", "socket_address"): "address", ("SocketAddress", "port_value"): "port_specifier"}
"""Members of a oneof of which we read no other: on the wire that is a plain field."""
LAST_FIELD = 14  # of FileDescriptorProto: edition


def serialized_files(binary, name):
    """Every serialized FileDescriptorProto of this name inside a binary."""
    start = b"\n" + bytes([len(name)]) + name.encode()
    at = binary.find(start)
    while at >= 0:
        end = end_of_message(binary, at)
        parsed = FileDescriptorProto.FromString(binary[at:end])
        if parsed.name == name and parsed.message_type:
            yield parsed
        at = binary.find(start, at + 1)


def end_of_message(binary, at):
    """Where the fields of a FileDescriptorProto end: nothing in the binary says how long it is."""
    seen_name = False
    while True:
        tag, after = varint(binary, at)
        number, wire_type = tag >> 3, tag & 7
        if not 1 <= number <= LAST_FIELD or wire_type not in (0, 2) or (number == 1 and seen_name):
            return at
        seen_name = True
        value, after = varint(binary, after)
        at = after + (value if wire_type == 2 else 0)


def varint(binary, at):
    value = shift = 0
    while True:
        byte = binary[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at


@cache
def their_messages():
    """Full name to descriptors: some files are linked in twice. Parsed as data, nothing goes into a descriptor pool."""
    found: dict[str, list[DescriptorProto]] = {}
    with open(envoy_binary(), "rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as binary:
        for name in THEIR_FILES:
            files = list(serialized_files(binary, name))
            assert files, f"{name} is not in the Envoy binary"
            for file in files:
                for message in file.message_type:
                    collect(file.package, message, found)
    return found


def collect(prefix, message, found):
    name = f"{prefix}.{message.name}"
    found.setdefault(name, []).append(message)
    for nested in message.nested_type:
        collect(name, nested, found)


def our_messages():
    file = FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(file)
    found: dict[str, list[DescriptorProto]] = {}
    for message in file.message_type:
        collect(file.package, message, found)
    return {name.removeprefix(file.package + "."): message for name, (message,) in found.items()}


OURS = our_messages()
FIELDS = [(name, field) for name, message in OURS.items() if not message.options.map_entry for field in message.field]


def their_type(type_name):
    """The public name of the message type of one of our fields."""
    name = type_name.lstrip(".")
    if not name:
        return ""
    private = name.removeprefix("extauthz.wire.v1.")
    if private == name:
        return name  # google.protobuf.Struct is used as it is
    parent, _, entry = private.rpartition(".")
    return THEIR_NAMES.get(private) or f"{THEIR_NAMES[parent]}.{entry}"


def test_every_message_of_ours_has_a_counterpart():
    messages = {name for name, message in OURS.items() if not message.options.map_entry}
    assert messages == set(THEIR_NAMES)
    assert set(THEIR_NAMES.values()) <= set(their_messages())


EACH_FIELD = pytest.mark.parametrize(
    ("message", "field"), FIELDS, ids=[f"{name}.{field.name}" for name, field in FIELDS]
)


@EACH_FIELD
def test_a_field_is_what_envoy_says(message, field):
    for version in their_messages()[THEIR_NAMES[message]]:
        theirs = {one.name: one for one in version.field}[field.name]
        assert (field.number, field.label) == (theirs.number, theirs.label)
        if (message, field.name) in OPEN_ENUMS:
            assert (field.type, theirs.type) == (F.TYPE_INT32, F.TYPE_ENUM)
            assert theirs.type_name.lstrip(".") == OPEN_ENUMS[message, field.name]
        else:
            assert field.type == theirs.type
            assert their_type(field.type_name) == theirs.type_name.lstrip(".")


@EACH_FIELD
def test_a_field_stands_in_the_oneof_where_envoy_has_it(message, field):
    for version in their_messages()[THEIR_NAMES[message]]:
        theirs = {one.name: one for one in version.field}[field.name]
        if (message, field.name) in LONE_MEMBERS:
            assert (oneof_of(OURS[message], field), oneof_of(version, theirs)) == (
                None,
                LONE_MEMBERS[message, field.name],
            )
        else:
            assert oneof_of(OURS[message], field) == oneof_of(version, theirs)


def oneof_of(message, field):
    return message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None


@pytest.mark.parametrize("entry", [name for name, message in OURS.items() if message.options.map_entry])
def test_a_map_has_the_key_and_value_types_of_envoys(entry):
    parent, _, name = entry.rpartition(".")
    for theirs in their_messages()[f"{THEIR_NAMES[parent]}.{name}"]:
        assert theirs.options.map_entry
        assert [(f.name, f.number, f.type, f.type_name) for f in OURS[entry].field] == [
            (f.name, f.number, f.type, f.type_name) for f in theirs.field
        ]


def test_envoy_calls_the_service_path_that_we_serve():
    with open(envoy_binary(), "rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as binary:
        (file,) = serialized_files(binary, THEIR_FILES[0])
    (service,) = file.service
    assert [f"/{file.package}.{service.name}/{method.name}" for method in service.method] == [CHECK_PATH]
    assert [method.input_type for method in service.method] == [".envoy.service.auth.v3.CheckRequest"]
