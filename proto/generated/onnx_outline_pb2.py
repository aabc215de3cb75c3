"""Generated from onnx_outline.proto by scripts/protos; do not edit."""

from rapide.proto.pool import add_file, message_class

DESCRIPTOR = add_file(
    b'\n\x12onnx_outline.proto\x12\x0brapide.onnx"\xb2\x01\n\x05Model\x12!\n\x05graph\x18\x07 \x01(\x0b2\x12.rap'
    b'ide.onnx.Graph\x12.\n\x0copset_import\x18\x08 \x03(\x0b2\x18.rapide.onnx.OperatorSet\x12,'
    b'\n\rtraining_info\x18\x14 \x03(\x0b2\x15.rapide.onnx.Training\x12(\n\tfunctions\x18\x19 \x03(\x0b2'
    b'\x15.rapide.onnx.Function".\n\x0bOperatorSet\x12\x0e\n\x06domain\x18\x01 \x01(\t\x12\x0f\n\x07version'
    b'\x18\x02 \x01(\x03"]\n\x08Training\x12*\n\x0einitialization\x18\x01 \x01(\x0b2\x12.rapide.onnx.Graph\x12%'
    b'\n\talgorithm\x18\x02 \x01(\x0b2\x12.rapide.onnx.Graph"\xd8\x01\n\x05Graph\x12\x1f\n\x04node\x18\x01 \x03(\x0b2\x11.'
    b'rapide.onnx.Node\x12(\n\x0binitializer\x18\x05 \x03(\x0b2\x13.rapide.onnx.Tensor\x12%\n\x05in'
    b'put\x18\x0b \x03(\x0b2\x16.rapide.onnx.ValueInfo\x12&\n\x06output\x18\x0c \x03(\x0b2\x16.rapide.onnx.'
    b'ValueInfo\x125\n\x12sparse_initializer\x18\x0f \x03(\x0b2\x19.rapide.onnx.SparseTensor'
    b'"\x9b\x01\n\x08Function\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\r\n\x05input\x18\x04 \x03(\t\x12\x1f\n\x04node\x18\x07 \x03(\x0b2\x11.rapid'
    b'e.onnx.Node\x12\x0e\n\x06domain\x18\n \x01(\t\x12/\n\x0fattribute_proto\x18\x0b \x03(\x0b2\x16.rapide.on'
    b'nx.Attribute\x12\x10\n\x08overload\x18\r \x01(\t"\x83\x01\n\x04Node\x12\r\n\x05input\x18\x01 \x03(\t\x12\x0e\n\x06output'
    b'\x18\x02 \x03(\t\x12\x0f\n\x07op_type\x18\x04 \x01(\t\x12)\n\tattribute\x18\x05 \x03(\x0b2\x16.rapide.onnx.Attribu'
    b'te\x12\x0e\n\x06domain\x18\x07 \x01(\t\x12\x10\n\x08overload\x18\x08 \x01(\t"\x95\x02\n\tAttribute\x12\x0c\n\x04name\x18\x01 \x01(\t'
    b'\x12\x1e\n\x01t\x18\x05 \x01(\x0b2\x13.rapide.onnx.Tensor\x12\x1d\n\x01g\x18\x06 \x01(\x0b2\x12.rapide.onnx.Graph\x12'
    b'\x0c\n\x04ints\x18\x08 \x03(\x03\x12$\n\x07tensors\x18\n \x03(\x0b2\x13.rapide.onnx.Tensor\x12"\n\x06graphs\x18\x0b '
    b'\x03(\x0b2\x12.rapide.onnx.Graph\x120\n\rsparse_tensor\x18\x16 \x01(\x0b2\x19.rapide.onnx.Spa'
    b'rseTensor\x121\n\x0esparse_tensors\x18\x17 \x03(\x0b2\x19.rapide.onnx.SparseTensor"\xa0\x02\n'
    b'\x06Tensor\x12\x0c\n\x04dims\x18\x01 \x03(\x03\x12\x11\n\tdata_type\x18\x02 \x01(\x05\x12\x16\n\nfloat_data\x18\x04 \x03(\x02B\x02\x10\x01'
    b'\x12\x16\n\nint32_data\x18\x05 \x03(\x05B\x02\x10\x01\x12\x13\n\x0bstring_data\x18\x06 \x03(\x0c\x12\x16\n\nint64_data\x18\x07 \x03('
    b'\x03B\x02\x10\x01\x12\x0c\n\x04name\x18\x08 \x01(\t\x12\x10\n\x08raw_data\x18\t \x01(\x0c\x12\x17\n\x0bdouble_data\x18\n \x03(\x01B\x02\x10\x01\x12\x17'
    b'\n\x0buint64_data\x18\x0b \x03(\x04B\x02\x10\x01\x12/\n\rexternal_data\x18\r \x03(\x0b2\x18.rapide.onnx.Str'
    b'ingEntry\x12\x15\n\rdata_location\x18\x0e \x01(\x05")\n\x0bStringEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12\r\n\x05v'
    b'alue\x18\x02 \x01(\t"g\n\x0cSparseTensor\x12#\n\x06values\x18\x01 \x01(\x0b2\x13.rapide.onnx.Tensor\x12'
    b'$\n\x07indices\x18\x02 \x01(\x0b2\x13.rapide.onnx.Tensor\x12\x0c\n\x04dims\x18\x03 \x03(\x03":\n\tValueInfo'
    b'\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x1f\n\x04type\x18\x02 \x01(\x0b2\x11.rapide.onnx.Type"4\n\x04Type\x12,\n\x0btenso'
    b'r_type\x18\x01 \x01(\x0b2\x17.rapide.onnx.TensorType"B\n\nTensorType\x12\x11\n\telem_type'
    b'\x18\x01 \x01(\x05\x12!\n\x05shape\x18\x02 \x01(\x0b2\x12.rapide.onnx.Shape",\n\x05Shape\x12#\n\x03dim\x18\x01 \x03(\x0b2'
    b'\x16.rapide.onnx.Dimension"1\n\tDimension\x12\x11\n\tdim_value\x18\x01 \x01(\x03\x12\x11\n\tdim_p'
    b'aram\x18\x02 \x01(\t'
)

Model = message_class("rapide.onnx.Model", __name__)
OperatorSet = message_class("rapide.onnx.OperatorSet", __name__)
Training = message_class("rapide.onnx.Training", __name__)
Graph = message_class("rapide.onnx.Graph", __name__)
Function = message_class("rapide.onnx.Function", __name__)
Node = message_class("rapide.onnx.Node", __name__)
Attribute = message_class("rapide.onnx.Attribute", __name__)
Tensor = message_class("rapide.onnx.Tensor", __name__)
StringEntry = message_class("rapide.onnx.StringEntry", __name__)
SparseTensor = message_class("rapide.onnx.SparseTensor", __name__)
ValueInfo = message_class("rapide.onnx.ValueInfo", __name__)
Type = message_class("rapide.onnx.Type", __name__)
TensorType = message_class("rapide.onnx.TensorType", __name__)
Shape = message_class("rapide.onnx.Shape", __name__)
Dimension = message_class("rapide.onnx.Dimension", __name__)
