import { NHWC, permuteShape, type Shape, sizeOf } from "../../../engine/ground/tensor.ts";
import { type Open, trainingOf } from "../engines.ts";
import { checkOperators, type Dialect, evaluate, loadParams, RUNNING, traceToTrain } from "../graph.ts";
import { oneHot, randomLabels, toNhwc } from "../input.ts";
import { dialectOf, type Ordered, openTfjs, type Tf, type TfTensor, upload } from "../tfjs.ts";

interface Variable extends TfTensor {
  readonly name: string;
  assign(value: TfTensor): void;
}

type Named = Readonly<Record<string, TfTensor>>;

/** What we use for training beside what runs a net. */
interface TrainingTf extends Tf {
  variable(value: TfTensor, trainable: boolean): Variable;
  variableGrads(
    loss: () => TfTensor,
    variables: readonly Variable[],
  ): { readonly value: TfTensor; readonly grads: Named };
  readonly train: { momentum(lr: number, momentum: number): { applyGradients(gradients: Named): void } };
  readonly losses: { softmaxCrossEntropy(oneHot: TfTensor, logits: TfTensor): TfTensor };
}

export const open: Open = async (job, { shape, data }, host) => {
  const { options, optimizer } = trainingOf(job);
  const tf = (await openTfjs(host)) as TrainingTf;
  // Registers the gradients, which no other module of theirs for Node does.
  await host.load("@tensorflow/tfjs-layers");
  const graph = traceToTrain(job);
  const dialect = trainingDialectOf(tf);
  checkOperators(graph, dialect);
  const trained: Variable[] = [];
  const params = await loadParams(graph, await host.openFile(job.weights), (param): Ordered => {
    const { tensor, order } = upload(tf, param);
    const variable = tf.variable(tensor, param.role === "trained");
    tensor.dispose();
    if (param.role === "trained") trained.push(variable);
    return { tensor: variable, order };
  });
  const momentum = tf.train.momentum(optimizer.lr, optimizer.momentum);
  const pixels = toNhwc(data, shape);
  const classes: Shape = [shape[0], options.numClasses];
  const labels = oneHot(randomLabels(shape[0], options.numClasses), options.numClasses);
  return async () => {
    const loss = tf.tidy(() => {
      const x = { tensor: tf.tensor(pixels, permuteShape(shape, NHWC)), order: NHWC };
      const wanted = tf.tensor(labels, classes);
      const { value, grads } = tf.variableGrads(
        () => tf.losses.softmaxCrossEntropy(wanted, evaluate(graph, x, params, dialect).tensor),
        trained,
      );
      const decayed = trained.map((w) => [w.name, tf.add(grads[w.name], tf.mul(w, optimizer.weightDecay))]);
      momentum.applyGradients(Object.fromEntries(decayed));
      return value;
    });
    const values = await host.readBack(loss.data(), job.software);
    loss.dispose();
    return values;
  };
};

/** Batch norms take the statistics of the batch, and move the running ones towards these. */
function trainingDialectOf(tf: TrainingTf): Dialect<Ordered> {
  const dialect = dialectOf(tf);

  function move(running: Ordered, value: TfTensor): void {
    const moved = tf.add(tf.mul(running.tensor, 1 - RUNNING), tf.mul(value, RUNNING));
    (running.tensor as Variable).assign(moved);
  }

  const batchnorm: Dialect<Ordered>["operators"][string] = (inputs, call) => {
    const { tensor, order } = inputs.x;
    const channels = order.indexOf(1);
    const { mean, variance } = tf.moments(
      tensor,
      [...order.keys()].filter((d) => d !== channels),
      false,
    );
    const count = sizeOf(tensor.shape) / tensor.shape[channels];
    move(inputs.mean, mean);
    move(inputs.variance, tf.mul(variance, count / (count - 1)));
    const batch = { mean: { tensor: mean, order: [0] }, variance: { tensor: variance, order: [0] } };
    return dialect.operators.batchnorm({ ...inputs, ...batch }, call);
  };

  return { ...dialect, operators: { ...dialect.operators, batchnorm } };
}
