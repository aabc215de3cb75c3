"""Generated from reflection_v1.proto by scripts/protos; do not edit."""

from rapide.proto.pool import add_file, message_class

DESCRIPTOR = add_file(
    b'\n\x13reflection_v1.proto\x12\x12grpc.reflection.v1"\x85\x02\n\x17ServerReflectionRe'
    b'quest\x12\x0c\n\x04host\x18\x01 \x01(\t\x12\x1a\n\x10file_by_filename\x18\x03 \x01(\tH\x00\x12 \n\x16file_containi'
    b'ng_symbol\x18\x04 \x01(\tH\x00\x12I\n\x19file_containing_extension\x18\x05 \x01(\x0b2$.grpc.refl'
    b"ection.v1.ExtensionRequestH\x00\x12'\n\x1dall_extension_numbers_of_type\x18\x06 "
    b'\x01(\tH\x00\x12\x17\n\rlist_services\x18\x07 \x01(\tH\x00B\x11\n\x0fmessage_request"E\n\x10ExtensionRe'
    b'quest\x12\x17\n\x0fcontaining_type\x18\x01 \x01(\t\x12\x18\n\x10extension_number\x18\x02 \x01(\x05"\xb8\x03\n\x18Ser'
    b'verReflectionResponse\x12\x12\n\nvalid_host\x18\x01 \x01(\t\x12E\n\x10original_request\x18\x02 '
    b'\x01(\x0b2+.grpc.reflection.v1.ServerReflectionRequest\x12N\n\x18file_descrip'
    b'tor_response\x18\x04 \x01(\x0b2*.grpc.reflection.v1.FileDescriptorResponseH\x00'
    b'\x12U\n\x1eall_extension_numbers_response\x18\x05 \x01(\x0b2+.grpc.reflection.v1.Ex'
    b"tensionNumberResponseH\x00\x12I\n\x16list_services_response\x18\x06 \x01(\x0b2'.grpc.r"
    b'eflection.v1.ListServiceResponseH\x00\x12;\n\x0eerror_response\x18\x07 \x01(\x0b2!.grp'
    b'c.reflection.v1.ErrorResponseH\x00B\x12\n\x10message_response"7\n\x16FileDescr'
    b'iptorResponse\x12\x1d\n\x15file_descriptor_proto\x18\x01 \x03(\x0c"K\n\x17ExtensionNumberR'
    b'esponse\x12\x16\n\x0ebase_type_name\x18\x01 \x01(\t\x12\x18\n\x10extension_number\x18\x02 \x03(\x05"K\n\x13Lis'
    b'tServiceResponse\x124\n\x07service\x18\x01 \x03(\x0b2#.grpc.reflection.v1.ServiceRe'
    b'sponse"\x1f\n\x0fServiceResponse\x12\x0c\n\x04name\x18\x01 \x01(\t":\n\rErrorResponse\x12\x12\n\nerro'
    b'r_code\x18\x01 \x01(\x05\x12\x15\n\rerror_message\x18\x02 \x01(\t2\x89\x01\n\x10ServerReflection\x12u\n\x14Serv'
    b'erReflectionInfo\x12+.grpc.reflection.v1.ServerReflectionRequest\x1a,.'
    b'grpc.reflection.v1.ServerReflectionResponse(\x010\x01b\x06proto3'
)

ServerReflectionRequest = message_class("grpc.reflection.v1.ServerReflectionRequest", __name__)
ExtensionRequest = message_class("grpc.reflection.v1.ExtensionRequest", __name__)
ServerReflectionResponse = message_class("grpc.reflection.v1.ServerReflectionResponse", __name__)
FileDescriptorResponse = message_class("grpc.reflection.v1.FileDescriptorResponse", __name__)
ExtensionNumberResponse = message_class("grpc.reflection.v1.ExtensionNumberResponse", __name__)
ListServiceResponse = message_class("grpc.reflection.v1.ListServiceResponse", __name__)
ServiceResponse = message_class("grpc.reflection.v1.ServiceResponse", __name__)
ErrorResponse = message_class("grpc.reflection.v1.ErrorResponse", __name__)
