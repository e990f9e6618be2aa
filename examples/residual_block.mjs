// A net of one's own, outside the package: a residual block and a classifier for 751 classes, with random weights.
import { add, conv2d, flatten, linear, openGpu, relu, tensor } from "shadenet";

const random = (...shape) => {
  const size = shape.reduce((product, n) => product * n, 1);
  return tensor(shape, Float32Array.from({ length: size }, () => (Math.random() - 0.5) / Math.sqrt(size / shape[0])));
};

function net(x, w1, w2, w3) {
  let y = relu(conv2d(x, w1));
  y = relu(conv2d(y, w2, { padding: 1 }));
  return linear(flatten(add(y, x)), w3);
}

const gpu = await openGpu();
const y = await gpu.eager(net, random(1, 32, 14, 14), random(64, 32, 1, 1), random(32, 64, 3, 3), random(751, 32 * 14 * 14));
console.log(`${gpu.adapter.name}: [${y.shape}], first logit ${y.data[0].toFixed(4)}`);
gpu.close();
