"""Generated from model_config.proto by scripts/protos; do not edit."""

from rapide.proto.pool import add_file, enum_type, message_class

DESCRIPTOR = add_file(
    b'\n\x12model_config.proto\x12\tinference"P\n\nModelInput\x12\x0c\n\x04name\x18\x01 \x01(\t\x12&\n\td'
    b'ata_type\x18\x02 \x01(\x0e2\x13.inference.DataType\x12\x0c\n\x04dims\x18\x04 \x03(\x03"Q\n\x0bModelOutput'
    b'\x12\x0c\n\x04name\x18\x01 \x01(\t\x12&\n\tdata_type\x18\x02 \x01(\x0e2\x13.inference.DataType\x12\x0c\n\x04dims\x18\x03'
    b' \x03(\x03"\xa6\x01\n\x12ModelInstanceGroup\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\r\n\x05count\x18\x02 \x01(\x05\x120\n\x04kind'
    b'\x18\x04 \x01(\x0e2".inference.ModelInstanceGroup.Kind"A\n\x04Kind\x12\r\n\tKIND_AUTO\x10'
    b'\x00\x12\x0c\n\x08KIND_GPU\x10\x01\x12\x0c\n\x08KIND_CPU\x10\x02\x12\x0e\n\nKIND_MODEL\x10\x03"\x90\x02\n\x12ModelVersionPo'
    b'licy\x126\n\x06latest\x18\x01 \x01(\x0b2$.inference.ModelVersionPolicy.LatestH\x00\x120\n\x03'
    b'all\x18\x02 \x01(\x0b2!.inference.ModelVersionPolicy.AllH\x00\x12:\n\x08specific\x18\x03 \x01(\x0b'
    b'2&.inference.ModelVersionPolicy.SpecificH\x00\x1a\x1e\n\x06Latest\x12\x14\n\x0cnum_vers'
    b'ions\x18\x01 \x01(\r\x1a\x05\n\x03All\x1a\x1c\n\x08Specific\x12\x10\n\x08versions\x18\x01 \x03(\x03B\x0f\n\rpolicy_choice'
    b'"\xdb\x01\n\x10ModelQueuePolicy\x12A\n\x0etimeout_action\x18\x01 \x01(\x0e2).inference.ModelQ'
    b'ueuePolicy.TimeoutAction\x12$\n\x1cdefault_timeout_microseconds\x18\x02 \x01(\x04\x12\x1e'
    b'\n\x16allow_timeout_override\x18\x03 \x01(\x08\x12\x16\n\x0emax_queue_size\x18\x04 \x01(\r"&\n\rTimeou'
    b'tAction\x12\n\n\x06REJECT\x10\x00\x12\t\n\x05DELAY\x10\x01"\xb0\x01\n\x14ModelDynamicBatching\x12\x1c\n\x14prefe'
    b'rred_batch_size\x18\x01 \x03(\x05\x12$\n\x1cmax_queue_delay_microseconds\x18\x02 \x01(\x04\x12\x19\n\x11p'
    b'reserve_ordering\x18\x03 \x01(\x08\x129\n\x14default_queue_policy\x18\x06 \x01(\x0b2\x1b.inference'
    b'.ModelQueuePolicy"&\n\x0eModelParameter\x12\x14\n\x0cstring_value\x18\x01 \x01(\t"+\n\x16Mod'
    b'elTransactionPolicy\x12\x11\n\tdecoupled\x18\x01 \x01(\x08"\xd3\x04\n\x0bModelConfig\x12\x0c\n\x04name\x18\x01'
    b' \x01(\t\x12\x10\n\x08platform\x18\x02 \x01(\t\x125\n\x0eversion_policy\x18\x03 \x01(\x0b2\x1d.inference.Model'
    b'VersionPolicy\x12\x16\n\x0emax_batch_size\x18\x04 \x01(\x05\x12$\n\x05input\x18\x05 \x03(\x0b2\x15.inference'
    b'.ModelInput\x12&\n\x06output\x18\x06 \x03(\x0b2\x16.inference.ModelOutput\x125\n\x0einstance_'
    b'group\x18\x07 \x03(\x0b2\x1d.inference.ModelInstanceGroup\x12\x1e\n\x16default_model_file'
    b'name\x18\x08 \x01(\t\x12;\n\x10dynamic_batching\x18\x0b \x01(\x0b2\x1f.inference.ModelDynamicBat'
    b'chingH\x00\x12:\n\nparameters\x18\x0e \x03(\x0b2&.inference.ModelConfig.ParametersEn'
    b'try\x12\x0f\n\x07backend\x18\x11 \x01(\t\x12C\n\x18model_transaction_policy\x18\x13 \x01(\x0b2!.inferen'
    b'ce.ModelTransactionPolicy\x1aL\n\x0fParametersEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12(\n\x05val'
    b'ue\x18\x02 \x01(\x0b2\x19.inference.ModelParameter:\x028\x01B\x13\n\x11scheduling_choice*\xfa\x01\n'
    b'\x08DataType\x12\x10\n\x0cTYPE_INVALID\x10\x00\x12\r\n\tTYPE_BOOL\x10\x01\x12\x0e\n\nTYPE_UINT8\x10\x02\x12\x0f\n\x0bTY'
    b'PE_UINT16\x10\x03\x12\x0f\n\x0bTYPE_UINT32\x10\x04\x12\x0f\n\x0bTYPE_UINT64\x10\x05\x12\r\n\tTYPE_INT8\x10\x06\x12\x0e\n\n'
    b'TYPE_INT16\x10\x07\x12\x0e\n\nTYPE_INT32\x10\x08\x12\x0e\n\nTYPE_INT64\x10\t\x12\r\n\tTYPE_FP16\x10\n\x12\r\n\tT'
    b'YPE_FP32\x10\x0b\x12\r\n\tTYPE_FP64\x10\x0c\x12\x0f\n\x0bTYPE_STRING\x10\r\x12\r\n\tTYPE_BF16\x10\x0eb\x06proto'
    b'3'
)

DataType = enum_type("inference.DataType")
TYPE_INVALID = 0
TYPE_BOOL = 1
TYPE_UINT8 = 2
TYPE_UINT16 = 3
TYPE_UINT32 = 4
TYPE_UINT64 = 5
TYPE_INT8 = 6
TYPE_INT16 = 7
TYPE_INT32 = 8
TYPE_INT64 = 9
TYPE_FP16 = 10
TYPE_FP32 = 11
TYPE_FP64 = 12
TYPE_STRING = 13
TYPE_BF16 = 14
ModelInput = message_class("inference.ModelInput", __name__)
ModelOutput = message_class("inference.ModelOutput", __name__)
ModelInstanceGroup = message_class("inference.ModelInstanceGroup", __name__)
ModelVersionPolicy = message_class("inference.ModelVersionPolicy", __name__)
ModelQueuePolicy = message_class("inference.ModelQueuePolicy", __name__)
ModelDynamicBatching = message_class("inference.ModelDynamicBatching", __name__)
ModelParameter = message_class("inference.ModelParameter", __name__)
ModelTransactionPolicy = message_class("inference.ModelTransactionPolicy", __name__)
ModelConfig = message_class("inference.ModelConfig", __name__)
