"""Generated from health.proto by scripts/protos; do not edit."""

from rapide.proto.pool import add_file, message_class

DESCRIPTOR = add_file(
    b'\n\x0chealth.proto\x12\x0egrpc.health.v1"%\n\x12HealthCheckRequest\x12\x0f\n\x07service\x18'
    b'\x01 \x01(\t"\xa9\x01\n\x13HealthCheckResponse\x12A\n\x06status\x18\x01 \x01(\x0e21.grpc.health.v1.H'
    b'ealthCheckResponse.ServingStatus"O\n\rServingStatus\x12\x0b\n\x07UNKNOWN\x10\x00\x12\x0b'
    b'\n\x07SERVING\x10\x01\x12\x0f\n\x0bNOT_SERVING\x10\x02\x12\x13\n\x0fSERVICE_UNKNOWN\x10\x03"\x13\n\x11HealthListR'
    b'equest"\xae\x01\n\x12HealthListResponse\x12B\n\x08statuses\x18\x01 \x03(\x0b20.grpc.health.v1'
    b'.HealthListResponse.StatusesEntry\x1aT\n\rStatusesEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12'
    b'2\n\x05value\x18\x02 \x01(\x0b2#.grpc.health.v1.HealthCheckResponse:\x028\x012\xfd\x01\n\x06Heal'
    b'th\x12P\n\x05Check\x12".grpc.health.v1.HealthCheckRequest\x1a#.grpc.health.v1'
    b'.HealthCheckResponse\x12M\n\x04List\x12!.grpc.health.v1.HealthListRequest\x1a'
    b'".grpc.health.v1.HealthListResponse\x12R\n\x05Watch\x12".grpc.health.v1.He'
    b'althCheckRequest\x1a#.grpc.health.v1.HealthCheckResponse0\x01b\x06proto3'
)

HealthCheckRequest = message_class("grpc.health.v1.HealthCheckRequest", __name__)
HealthCheckResponse = message_class("grpc.health.v1.HealthCheckResponse", __name__)
HealthListRequest = message_class("grpc.health.v1.HealthListRequest", __name__)
HealthListResponse = message_class("grpc.health.v1.HealthListResponse", __name__)
