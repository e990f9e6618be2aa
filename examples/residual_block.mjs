// A net of one's own, outside the package: a residual block and a classifier for 751 classes, with random weights.
import { add, conv2d, flatten, linear, openGpu, relu, tensor } from "shadenet";

function net(x, w1, w2, w3) {
  let y = relu(conv2d(x, w1));
  y = relu(conv2d(y, w2, { padding: 1 }));
  return linear(flatten(add(y, x)), w3);
}

function random(shape) {
  const length = shape.reduce((product, size) => product * size);
  return tensor(
    shape,
    Float32Array.from({ length }, () => Math.random() / 5 - 0.1),
  );
}

// biome-ignore format: a line says it all
const shapes = [[1, 32, 14, 14], [64, 32, 1, 1], [32, 64, 3, 3], [751, 32 * 14 * 14]];
const gpu = await openGpu();
const y = await gpu.eager(net, ...shapes.map(random));
console.log(`${gpu.adapter.name}: [${y.shape}], first logit ${y.data[0].toFixed(4)}`);
gpu.close();
