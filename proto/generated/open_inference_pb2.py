"""Generated from open_inference.proto by scripts/protos; do not edit."""

from rapide.proto.generated import model_config_pb2  # noqa: F401
from rapide.proto.pool import add_file, message_class

DESCRIPTOR = add_file(
    b'\n\x14open_inference.proto\x12\tinference\x1a\x12model_config.proto"\x13\n\x11ServerL'
    b'iveRequest""\n\x12ServerLiveResponse\x12\x0c\n\x04live\x18\x01 \x01(\x08"\x14\n\x12ServerReadyReq'
    b'uest"$\n\x13ServerReadyResponse\x12\r\n\x05ready\x18\x01 \x01(\x08"2\n\x11ModelReadyRequest\x12'
    b'\x0c\n\x04name\x18\x01 \x01(\t\x12\x0f\n\x07version\x18\x02 \x01(\t"#\n\x12ModelReadyResponse\x12\r\n\x05ready\x18\x01 '
    b'\x01(\x08"\x17\n\x15ServerMetadataRequest"K\n\x16ServerMetadataResponse\x12\x0c\n\x04name\x18\x01'
    b' \x01(\t\x12\x0f\n\x07version\x18\x02 \x01(\t\x12\x12\n\nextensions\x18\x03 \x03(\t"5\n\x14ModelMetadataReques'
    b't\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x0f\n\x07version\x18\x02 \x01(\t"\x8d\x02\n\x15ModelMetadataResponse\x12\x0c\n\x04na'
    b'me\x18\x01 \x01(\t\x12\x10\n\x08versions\x18\x02 \x03(\t\x12\x10\n\x08platform\x18\x03 \x01(\t\x12?\n\x06inputs\x18\x04 \x03(\x0b2/.i'
    b'nference.ModelMetadataResponse.TensorMetadata\x12@\n\x07outputs\x18\x05 \x03(\x0b2/'
    b'.inference.ModelMetadataResponse.TensorMetadata\x1a?\n\x0eTensorMetadat'
    b'a\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x10\n\x08datatype\x18\x02 \x01(\t\x12\r\n\x05shape\x18\x03 \x03(\x03"\x99\x01\n\x0eInferParame'
    b'ter\x12\x14\n\nbool_param\x18\x01 \x01(\x08H\x00\x12\x15\n\x0bint64_param\x18\x02 \x01(\x03H\x00\x12\x16\n\x0cstring_param'
    b'\x18\x03 \x01(\tH\x00\x12\x16\n\x0cdouble_param\x18\x04 \x01(\x01H\x00\x12\x16\n\x0cuint64_param\x18\x05 \x01(\x04H\x00B\x12\n\x10para'
    b'meter_choice"\xd0\x01\n\x13InferTensorContents\x12\x15\n\rbool_contents\x18\x01 \x03(\x08\x12\x14\n\x0ci'
    b'nt_contents\x18\x02 \x03(\x05\x12\x16\n\x0eint64_contents\x18\x03 \x03(\x03\x12\x15\n\ruint_contents\x18\x04 \x03(\r'
    b'\x12\x17\n\x0fuint64_contents\x18\x05 \x03(\x04\x12\x15\n\rfp32_contents\x18\x06 \x03(\x02\x12\x15\n\rfp64_content'
    b's\x18\x07 \x03(\x01\x12\x16\n\x0ebytes_contents\x18\x08 \x03(\x0c"\xee\x06\n\x11ModelInferRequest\x12\x12\n\nmodel_n'
    b'ame\x18\x01 \x01(\t\x12\x15\n\rmodel_version\x18\x02 \x01(\t\x12\n\n\x02id\x18\x03 \x01(\t\x12@\n\nparameters\x18\x04 \x03(\x0b'
    b'2,.inference.ModelInferRequest.ParametersEntry\x12=\n\x06inputs\x18\x05 \x03(\x0b2-'
    b'.inference.ModelInferRequest.InferInputTensor\x12H\n\x07outputs\x18\x06 \x03(\x0b27'
    b'.inference.ModelInferRequest.InferRequestedOutputTensor\x12\x1a\n\x12raw_i'
    b'nput_contents\x18\x07 \x03(\x0c\x1a\x94\x02\n\x10InferInputTensor\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x10\n\x08dataty'
    b'pe\x18\x02 \x01(\t\x12\r\n\x05shape\x18\x03 \x03(\x03\x12Q\n\nparameters\x18\x04 \x03(\x0b2=.inference.ModelInf'
    b'erRequest.InferInputTensor.ParametersEntry\x120\n\x08contents\x18\x05 \x01(\x0b2\x1e.i'
    b'nference.InferTensorContents\x1aL\n\x0fParametersEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12(\n\x05'
    b'value\x18\x02 \x01(\x0b2\x19.inference.InferParameter:\x028\x01\x1a\xd5\x01\n\x1aInferRequestedOut'
    b'putTensor\x12\x0c\n\x04name\x18\x01 \x01(\t\x12[\n\nparameters\x18\x02 \x03(\x0b2G.inference.ModelInf'
    b'erRequest.InferRequestedOutputTensor.ParametersEntry\x1aL\n\x0fParamete'
    b'rsEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12(\n\x05value\x18\x02 \x01(\x0b2\x19.inference.InferParameter:\x02'
    b'8\x01\x1aL\n\x0fParametersEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12(\n\x05value\x18\x02 \x01(\x0b2\x19.inference.In'
    b'ferParameter:\x028\x01"\xd5\x04\n\x12ModelInferResponse\x12\x12\n\nmodel_name\x18\x01 \x01(\t\x12\x15\n\rm'
    b'odel_version\x18\x02 \x01(\t\x12\n\n\x02id\x18\x03 \x01(\t\x12A\n\nparameters\x18\x04 \x03(\x0b2-.inference.M'
    b'odelInferResponse.ParametersEntry\x12@\n\x07outputs\x18\x05 \x03(\x0b2/.inference.M'
    b'odelInferResponse.InferOutputTensor\x12\x1b\n\x13raw_output_contents\x18\x06 \x03(\x0c'
    b'\x1a\x97\x02\n\x11InferOutputTensor\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x10\n\x08datatype\x18\x02 \x01(\t\x12\r\n\x05shape\x18'
    b'\x03 \x03(\x03\x12S\n\nparameters\x18\x04 \x03(\x0b2?.inference.ModelInferResponse.InferOu'
    b'tputTensor.ParametersEntry\x120\n\x08contents\x18\x05 \x01(\x0b2\x1e.inference.InferTe'
    b'nsorContents\x1aL\n\x0fParametersEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12(\n\x05value\x18\x02 \x01(\x0b2\x19.in'
    b'ference.InferParameter:\x028\x01\x1aL\n\x0fParametersEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12(\n\x05va'
    b'lue\x18\x02 \x01(\x0b2\x19.inference.InferParameter:\x028\x01"h\n\x18ModelStreamInferResp'
    b'onse\x12\x15\n\rerror_message\x18\x01 \x01(\t\x125\n\x0einfer_response\x18\x02 \x01(\x0b2\x1d.inference.'
    b'ModelInferResponse"3\n\x12ModelConfigRequest\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x0f\n\x07versio'
    b'n\x18\x02 \x01(\t"=\n\x13ModelConfigResponse\x12&\n\x06config\x18\x01 \x01(\x0b2\x16.inference.Model'
    b'Config"7\n\x16ModelStatisticsRequest\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x0f\n\x07version\x18\x02 \x01(\t"'
    b'.\n\x11StatisticDuration\x12\r\n\x05count\x18\x01 \x01(\x04\x12\n\n\x02ns\x18\x02 \x01(\x04"\x9c\x03\n\x0fInferStatist'
    b'ics\x12-\n\x07success\x18\x01 \x01(\x0b2\x1c.inference.StatisticDuration\x12*\n\x04fail\x18\x02 \x01(\x0b'
    b'2\x1c.inference.StatisticDuration\x12+\n\x05queue\x18\x03 \x01(\x0b2\x1c.inference.Statis'
    b'ticDuration\x123\n\rcompute_input\x18\x04 \x01(\x0b2\x1c.inference.StatisticDuration'
    b'\x123\n\rcompute_infer\x18\x05 \x01(\x0b2\x1c.inference.StatisticDuration\x124\n\x0ecompute'
    b'_output\x18\x06 \x01(\x0b2\x1c.inference.StatisticDuration\x12/\n\tcache_hit\x18\x07 \x01(\x0b2\x1c'
    b'.inference.StatisticDuration\x120\n\ncache_miss\x18\x08 \x01(\x0b2\x1c.inference.Sta'
    b'tisticDuration"\xc3\x02\n\x17InferResponseStatistics\x123\n\rcompute_infer\x18\x01 \x01('
    b'\x0b2\x1c.inference.StatisticDuration\x124\n\x0ecompute_output\x18\x02 \x01(\x0b2\x1c.infere'
    b'nce.StatisticDuration\x12-\n\x07success\x18\x03 \x01(\x0b2\x1c.inference.StatisticDura'
    b'tion\x12*\n\x04fail\x18\x04 \x01(\x0b2\x1c.inference.StatisticDuration\x124\n\x0eempty_respon'
    b'se\x18\x05 \x01(\x0b2\x1c.inference.StatisticDuration\x12,\n\x06cancel\x18\x06 \x01(\x0b2\x1c.inferen'
    b'ce.StatisticDuration"\xca\x01\n\x14InferBatchStatistics\x12\x12\n\nbatch_size\x18\x01 \x01('
    b'\x04\x123\n\rcompute_input\x18\x02 \x01(\x0b2\x1c.inference.StatisticDuration\x123\n\rcomput'
    b'e_infer\x18\x03 \x01(\x0b2\x1c.inference.StatisticDuration\x124\n\x0ecompute_output\x18\x04 '
    b'\x01(\x0b2\x1c.inference.StatisticDuration":\n\x0bMemoryUsage\x12\x0c\n\x04type\x18\x01 \x01(\t\x12\n'
    b'\n\x02id\x18\x02 \x01(\x03\x12\x11\n\tbyte_size\x18\x03 \x01(\x04"\xb4\x03\n\x0fModelStatistics\x12\x0c\n\x04name\x18\x01 \x01(\t\x12'
    b'\x0f\n\x07version\x18\x02 \x01(\t\x12\x16\n\x0elast_inference\x18\x03 \x01(\x04\x12\x17\n\x0finference_count\x18\x04 \x01('
    b'\x04\x12\x17\n\x0fexecution_count\x18\x05 \x01(\x04\x123\n\x0finference_stats\x18\x06 \x01(\x0b2\x1a.inference.'
    b'InferStatistics\x124\n\x0bbatch_stats\x18\x07 \x03(\x0b2\x1f.inference.InferBatchStati'
    b'stics\x12,\n\x0cmemory_usage\x18\x08 \x03(\x0b2\x16.inference.MemoryUsage\x12E\n\x0eresponse_'
    b'stats\x18\t \x03(\x0b2-.inference.ModelStatistics.ResponseStatsEntry\x1aX\n\x12Re'
    b'sponseStatsEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x121\n\x05value\x18\x02 \x01(\x0b2".inference.InferRe'
    b'sponseStatistics:\x028\x01"J\n\x17ModelStatisticsResponse\x12/\n\x0bmodel_stats\x18\x01'
    b' \x03(\x0b2\x1a.inference.ModelStatistics"\x8a\x01\n\x18ModelRepositoryParameter\x12\x14\n'
    b'\nbool_param\x18\x01 \x01(\x08H\x00\x12\x15\n\x0bint64_param\x18\x02 \x01(\x03H\x00\x12\x16\n\x0cstring_param\x18\x03 \x01(\t'
    b'H\x00\x12\x15\n\x0bbytes_param\x18\x04 \x01(\x0cH\x00B\x12\n\x10parameter_choice"@\n\x16RepositoryIndex'
    b'Request\x12\x17\n\x0frepository_name\x18\x01 \x01(\t\x12\r\n\x05ready\x18\x02 \x01(\x08"\xa4\x01\n\x17RepositoryIn'
    b'dexResponse\x12=\n\x06models\x18\x01 \x03(\x0b2-.inference.RepositoryIndexResponse.'
    b'ModelIndex\x1aJ\n\nModelIndex\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x0f\n\x07version\x18\x02 \x01(\t\x12\r\n\x05state'
    b'\x18\x03 \x01(\t\x12\x0e\n\x06reason\x18\x04 \x01(\t"\xec\x01\n\x1aRepositoryModelLoadRequest\x12\x17\n\x0freposit'
    b'ory_name\x18\x01 \x01(\t\x12\x12\n\nmodel_name\x18\x02 \x01(\t\x12I\n\nparameters\x18\x03 \x03(\x0b25.inferen'
    b'ce.RepositoryModelLoadRequest.ParametersEntry\x1aV\n\x0fParametersEntry'
    b'\x12\x0b\n\x03key\x18\x01 \x01(\t\x122\n\x05value\x18\x02 \x01(\x0b2#.inference.ModelRepositoryParamete'
    b'r:\x028\x01"\x1d\n\x1bRepositoryModelLoadResponse"\xf0\x01\n\x1cRepositoryModelUnloadRe'
    b'quest\x12\x17\n\x0frepository_name\x18\x01 \x01(\t\x12\x12\n\nmodel_name\x18\x02 \x01(\t\x12K\n\nparameters'
    b'\x18\x03 \x03(\x0b27.inference.RepositoryModelUnloadRequest.ParametersEntry\x1a'
    b'V\n\x0fParametersEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x122\n\x05value\x18\x02 \x01(\x0b2#.inference.Model'
    b'RepositoryParameter:\x028\x01"\x1f\n\x1dRepositoryModelUnloadResponse"/\n\x1fSyst'
    b'emSharedMemoryStatusRequest\x12\x0c\n\x04name\x18\x01 \x01(\t"\xa5\x02\n SystemSharedMemory'
    b'StatusResponse\x12I\n\x07regions\x18\x01 \x03(\x0b28.inference.SystemSharedMemorySt'
    b'atusResponse.RegionsEntry\x1aL\n\x0cRegionStatus\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x0b\n\x03key\x18\x02'
    b' \x01(\t\x12\x0e\n\x06offset\x18\x03 \x01(\x04\x12\x11\n\tbyte_size\x18\x04 \x01(\x04\x1ah\n\x0cRegionsEntry\x12\x0b\n\x03key\x18\x01'
    b' \x01(\t\x12G\n\x05value\x18\x02 \x01(\x0b28.inference.SystemSharedMemoryStatusResponse'
    b'.RegionStatus:\x028\x01"a\n!SystemSharedMemoryRegisterRequest\x12\x0c\n\x04name\x18\x01'
    b' \x01(\t\x12\x0b\n\x03key\x18\x02 \x01(\t\x12\x0e\n\x06offset\x18\x03 \x01(\x04\x12\x11\n\tbyte_size\x18\x04 \x01(\x04"$\n"SystemSh'
    b'aredMemoryRegisterResponse"3\n#SystemSharedMemoryUnregisterReques'
    b't\x12\x0c\n\x04name\x18\x01 \x01(\t"&\n$SystemSharedMemoryUnregisterResponse"-\n\x1dCudaS'
    b'haredMemoryStatusRequest\x12\x0c\n\x04name\x18\x01 \x01(\t"\x95\x02\n\x1eCudaSharedMemoryStatu'
    b'sResponse\x12G\n\x07regions\x18\x01 \x03(\x0b26.inference.CudaSharedMemoryStatusRes'
    b'ponse.RegionsEntry\x1aB\n\x0cRegionStatus\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x11\n\tdevice_id\x18\x02 '
    b'\x01(\x04\x12\x11\n\tbyte_size\x18\x03 \x01(\x04\x1af\n\x0cRegionsEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12E\n\x05value\x18\x02 \x01'
    b'(\x0b26.inference.CudaSharedMemoryStatusResponse.RegionStatus:\x028\x01"i'
    b'\n\x1fCudaSharedMemoryRegisterRequest\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x12\n\nraw_handle\x18\x02 '
    b'\x01(\x0c\x12\x11\n\tdevice_id\x18\x03 \x01(\x03\x12\x11\n\tbyte_size\x18\x04 \x01(\x04""\n CudaSharedMemoryReg'
    b'isterResponse"1\n!CudaSharedMemoryUnregisterRequest\x12\x0c\n\x04name\x18\x01 \x01(\t'
    b'"$\n"CudaSharedMemoryUnregisterResponse"\xe6\x01\n\x13TraceSettingRequest\x12>'
    b'\n\x08settings\x18\x01 \x03(\x0b2,.inference.TraceSettingRequest.SettingsEntry\x12\x12'
    b'\n\nmodel_name\x18\x02 \x01(\t\x1a\x1d\n\x0cSettingValue\x12\r\n\x05value\x18\x01 \x03(\t\x1a\\\n\rSettingsEnt'
    b'ry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12:\n\x05value\x18\x02 \x01(\x0b2+.inference.TraceSettingRequest.S'
    b'ettingValue:\x028\x01"\xd5\x01\n\x14TraceSettingResponse\x12?\n\x08settings\x18\x01 \x03(\x0b2-.inf'
    b'erence.TraceSettingResponse.SettingsEntry\x1a\x1d\n\x0cSettingValue\x12\r\n\x05val'
    b'ue\x18\x01 \x03(\t\x1a]\n\rSettingsEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12;\n\x05value\x18\x02 \x01(\x0b2,.inferenc'
    b'e.TraceSettingResponse.SettingValue:\x028\x01"\x9a\x02\n\x12LogSettingsRequest\x12='
    b'\n\x08settings\x18\x01 \x03(\x0b2+.inference.LogSettingsRequest.SettingsEntry\x1ah\n'
    b'\x0cSettingValue\x12\x14\n\nbool_param\x18\x01 \x01(\x08H\x00\x12\x16\n\x0cuint32_param\x18\x02 \x01(\rH\x00\x12\x16\n\x0cs'
    b'tring_param\x18\x03 \x01(\tH\x00B\x12\n\x10parameter_choice\x1a[\n\rSettingsEntry\x12\x0b\n\x03key\x18'
    b'\x01 \x01(\t\x129\n\x05value\x18\x02 \x01(\x0b2*.inference.LogSettingsRequest.SettingValue'
    b':\x028\x01"\x9d\x02\n\x13LogSettingsResponse\x12>\n\x08settings\x18\x01 \x03(\x0b2,.inference.LogSe'
    b'ttingsResponse.SettingsEntry\x1ah\n\x0cSettingValue\x12\x14\n\nbool_param\x18\x01 \x01(\x08'
    b'H\x00\x12\x16\n\x0cuint32_param\x18\x02 \x01(\rH\x00\x12\x16\n\x0cstring_param\x18\x03 \x01(\tH\x00B\x12\n\x10parameter_'
    b'choice\x1a\\\n\rSettingsEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12:\n\x05value\x18\x02 \x01(\x0b2+.inference.'
    b'LogSettingsResponse.SettingValue:\x028\x012\x8e\x0f\n\x14GRPCInferenceService\x12I\n'
    b'\nServerLive\x12\x1c.inference.ServerLiveRequest\x1a\x1d.inference.ServerLive'
    b'Response\x12L\n\x0bServerReady\x12\x1d.inference.ServerReadyRequest\x1a\x1e.inferen'
    b'ce.ServerReadyResponse\x12I\n\nModelReady\x12\x1c.inference.ModelReadyReque'
    b'st\x1a\x1d.inference.ModelReadyResponse\x12U\n\x0eServerMetadata\x12 .inference.'
    b'ServerMetadataRequest\x1a!.inference.ServerMetadataResponse\x12R\n\rMode'
    b'lMetadata\x12\x1f.inference.ModelMetadataRequest\x1a .inference.ModelMeta'
    b'dataResponse\x12I\n\nModelInfer\x12\x1c.inference.ModelInferRequest\x1a\x1d.infer'
    b'ence.ModelInferResponse\x12Y\n\x10ModelStreamInfer\x12\x1c.inference.ModelInf'
    b'erRequest\x1a#.inference.ModelStreamInferResponse(\x010\x01\x12L\n\x0bModelConfi'
    b'g\x12\x1d.inference.ModelConfigRequest\x1a\x1e.inference.ModelConfigResponse'
    b'\x12X\n\x0fModelStatistics\x12!.inference.ModelStatisticsRequest\x1a".inferen'
    b'ce.ModelStatisticsResponse\x12X\n\x0fRepositoryIndex\x12!.inference.Reposi'
    b'toryIndexRequest\x1a".inference.RepositoryIndexResponse\x12d\n\x13Reposito'
    b'ryModelLoad\x12%.inference.RepositoryModelLoadRequest\x1a&.inference.R'
    b"epositoryModelLoadResponse\x12j\n\x15RepositoryModelUnload\x12'.inference."
    b'RepositoryModelUnloadRequest\x1a(.inference.RepositoryModelUnloadRe'
    b'sponse\x12s\n\x18SystemSharedMemoryStatus\x12*.inference.SystemSharedMemor'
    b'yStatusRequest\x1a+.inference.SystemSharedMemoryStatusResponse\x12y\n\x1aS'
    b'ystemSharedMemoryRegister\x12,.inference.SystemSharedMemoryRegister'
    b'Request\x1a-.inference.SystemSharedMemoryRegisterResponse\x12\x7f\n\x1cSystem'
    b'SharedMemoryUnregister\x12..inference.SystemSharedMemoryUnregisterR'
    b'equest\x1a/.inference.SystemSharedMemoryUnregisterResponse\x12m\n\x16CudaS'
    b'haredMemoryStatus\x12(.inference.CudaSharedMemoryStatusRequest\x1a).in'
    b'ference.CudaSharedMemoryStatusResponse\x12s\n\x18CudaSharedMemoryRegist'
    b'er\x12*.inference.CudaSharedMemoryRegisterRequest\x1a+.inference.CudaS'
    b'haredMemoryRegisterResponse\x12y\n\x1aCudaSharedMemoryUnregister\x12,.infe'
    b'rence.CudaSharedMemoryUnregisterRequest\x1a-.inference.CudaSharedMe'
    b'moryUnregisterResponse\x12O\n\x0cTraceSetting\x12\x1e.inference.TraceSettingR'
    b'equest\x1a\x1f.inference.TraceSettingResponse\x12L\n\x0bLogSettings\x12\x1d.inferen'
    b'ce.LogSettingsRequest\x1a\x1e.inference.LogSettingsResponseb\x06proto3'
)

ServerLiveRequest = message_class("inference.ServerLiveRequest", __name__)
ServerLiveResponse = message_class("inference.ServerLiveResponse", __name__)
ServerReadyRequest = message_class("inference.ServerReadyRequest", __name__)
ServerReadyResponse = message_class("inference.ServerReadyResponse", __name__)
ModelReadyRequest = message_class("inference.ModelReadyRequest", __name__)
ModelReadyResponse = message_class("inference.ModelReadyResponse", __name__)
ServerMetadataRequest = message_class("inference.ServerMetadataRequest", __name__)
ServerMetadataResponse = message_class("inference.ServerMetadataResponse", __name__)
ModelMetadataRequest = message_class("inference.ModelMetadataRequest", __name__)
ModelMetadataResponse = message_class("inference.ModelMetadataResponse", __name__)
InferParameter = message_class("inference.InferParameter", __name__)
InferTensorContents = message_class("inference.InferTensorContents", __name__)
ModelInferRequest = message_class("inference.ModelInferRequest", __name__)
ModelInferResponse = message_class("inference.ModelInferResponse", __name__)
ModelStreamInferResponse = message_class("inference.ModelStreamInferResponse", __name__)
ModelConfigRequest = message_class("inference.ModelConfigRequest", __name__)
ModelConfigResponse = message_class("inference.ModelConfigResponse", __name__)
ModelStatisticsRequest = message_class("inference.ModelStatisticsRequest", __name__)
StatisticDuration = message_class("inference.StatisticDuration", __name__)
InferStatistics = message_class("inference.InferStatistics", __name__)
InferResponseStatistics = message_class("inference.InferResponseStatistics", __name__)
InferBatchStatistics = message_class("inference.InferBatchStatistics", __name__)
MemoryUsage = message_class("inference.MemoryUsage", __name__)
ModelStatistics = message_class("inference.ModelStatistics", __name__)
ModelStatisticsResponse = message_class("inference.ModelStatisticsResponse", __name__)
ModelRepositoryParameter = message_class("inference.ModelRepositoryParameter", __name__)
RepositoryIndexRequest = message_class("inference.RepositoryIndexRequest", __name__)
RepositoryIndexResponse = message_class("inference.RepositoryIndexResponse", __name__)
RepositoryModelLoadRequest = message_class("inference.RepositoryModelLoadRequest", __name__)
RepositoryModelLoadResponse = message_class("inference.RepositoryModelLoadResponse", __name__)
RepositoryModelUnloadRequest = message_class("inference.RepositoryModelUnloadRequest", __name__)
RepositoryModelUnloadResponse = message_class("inference.RepositoryModelUnloadResponse", __name__)
SystemSharedMemoryStatusRequest = message_class("inference.SystemSharedMemoryStatusRequest", __name__)
SystemSharedMemoryStatusResponse = message_class("inference.SystemSharedMemoryStatusResponse", __name__)
SystemSharedMemoryRegisterRequest = message_class("inference.SystemSharedMemoryRegisterRequest", __name__)
SystemSharedMemoryRegisterResponse = message_class("inference.SystemSharedMemoryRegisterResponse", __name__)
SystemSharedMemoryUnregisterRequest = message_class("inference.SystemSharedMemoryUnregisterRequest", __name__)
SystemSharedMemoryUnregisterResponse = message_class("inference.SystemSharedMemoryUnregisterResponse", __name__)
CudaSharedMemoryStatusRequest = message_class("inference.CudaSharedMemoryStatusRequest", __name__)
CudaSharedMemoryStatusResponse = message_class("inference.CudaSharedMemoryStatusResponse", __name__)
CudaSharedMemoryRegisterRequest = message_class("inference.CudaSharedMemoryRegisterRequest", __name__)
CudaSharedMemoryRegisterResponse = message_class("inference.CudaSharedMemoryRegisterResponse", __name__)
CudaSharedMemoryUnregisterRequest = message_class("inference.CudaSharedMemoryUnregisterRequest", __name__)
CudaSharedMemoryUnregisterResponse = message_class("inference.CudaSharedMemoryUnregisterResponse", __name__)
TraceSettingRequest = message_class("inference.TraceSettingRequest", __name__)
TraceSettingResponse = message_class("inference.TraceSettingResponse", __name__)
LogSettingsRequest = message_class("inference.LogSettingsRequest", __name__)
LogSettingsResponse = message_class("inference.LogSettingsResponse", __name__)
