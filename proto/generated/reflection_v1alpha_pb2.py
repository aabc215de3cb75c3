"""Generated from reflection_v1alpha.proto by scripts/protos; do not edit."""

from rapide.proto.pool import add_file, message_class

DESCRIPTOR = add_file(
    b'\n\x18reflection_v1alpha.proto\x12\x17grpc.reflection.v1alpha"\x8a\x02\n\x17ServerRe'
    b'flectionRequest\x12\x0c\n\x04host\x18\x01 \x01(\t\x12\x1a\n\x10file_by_filename\x18\x03 \x01(\tH\x00\x12 \n\x16fil'
    b'e_containing_symbol\x18\x04 \x01(\tH\x00\x12N\n\x19file_containing_extension\x18\x05 \x01(\x0b2)'
    b".grpc.reflection.v1alpha.ExtensionRequestH\x00\x12'\n\x1dall_extension_num"
    b'bers_of_type\x18\x06 \x01(\tH\x00\x12\x17\n\rlist_services\x18\x07 \x01(\tH\x00B\x11\n\x0fmessage_request'
    b'"E\n\x10ExtensionRequest\x12\x17\n\x0fcontaining_type\x18\x01 \x01(\t\x12\x18\n\x10extension_numbe'
    b'r\x18\x02 \x01(\x05"\xd1\x03\n\x18ServerReflectionResponse\x12\x12\n\nvalid_host\x18\x01 \x01(\t\x12J\n\x10orig'
    b'inal_request\x18\x02 \x01(\x0b20.grpc.reflection.v1alpha.ServerReflectionReq'
    b'uest\x12S\n\x18file_descriptor_response\x18\x04 \x01(\x0b2/.grpc.reflection.v1alpha'
    b'.FileDescriptorResponseH\x00\x12Z\n\x1eall_extension_numbers_response\x18\x05 \x01('
    b'\x0b20.grpc.reflection.v1alpha.ExtensionNumberResponseH\x00\x12N\n\x16list_se'
    b'rvices_response\x18\x06 \x01(\x0b2,.grpc.reflection.v1alpha.ListServiceRespo'
    b'nseH\x00\x12@\n\x0eerror_response\x18\x07 \x01(\x0b2&.grpc.reflection.v1alpha.ErrorRes'
    b'ponseH\x00B\x12\n\x10message_response"7\n\x16FileDescriptorResponse\x12\x1d\n\x15file_de'
    b'scriptor_proto\x18\x01 \x03(\x0c"K\n\x17ExtensionNumberResponse\x12\x16\n\x0ebase_type_nam'
    b'e\x18\x01 \x01(\t\x12\x18\n\x10extension_number\x18\x02 \x03(\x05"P\n\x13ListServiceResponse\x129\n\x07serv'
    b'ice\x18\x01 \x03(\x0b2(.grpc.reflection.v1alpha.ServiceResponse"\x1f\n\x0fServiceRe'
    b'sponse\x12\x0c\n\x04name\x18\x01 \x01(\t":\n\rErrorResponse\x12\x12\n\nerror_code\x18\x01 \x01(\x05\x12\x15\n\rerr'
    b'or_message\x18\x02 \x01(\t2\x93\x01\n\x10ServerReflection\x12\x7f\n\x14ServerReflectionInfo\x120.'
    b'grpc.reflection.v1alpha.ServerReflectionRequest\x1a1.grpc.reflectio'
    b'n.v1alpha.ServerReflectionResponse(\x010\x01b\x06proto3'
)

ServerReflectionRequest = message_class("grpc.reflection.v1alpha.ServerReflectionRequest", __name__)
ExtensionRequest = message_class("grpc.reflection.v1alpha.ExtensionRequest", __name__)
ServerReflectionResponse = message_class("grpc.reflection.v1alpha.ServerReflectionResponse", __name__)
FileDescriptorResponse = message_class("grpc.reflection.v1alpha.FileDescriptorResponse", __name__)
ExtensionNumberResponse = message_class("grpc.reflection.v1alpha.ExtensionNumberResponse", __name__)
ListServiceResponse = message_class("grpc.reflection.v1alpha.ListServiceResponse", __name__)
ServiceResponse = message_class("grpc.reflection.v1alpha.ServiceResponse", __name__)
ErrorResponse = message_class("grpc.reflection.v1alpha.ErrorResponse", __name__)
