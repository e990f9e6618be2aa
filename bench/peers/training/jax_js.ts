import { sizeOf } from "../../../engine/ground/tensor.ts";
import { type Open, trainingOf } from "../engines.ts";
import { checkOperators, type Dialect, evaluate, loadParams, RUNNING, traceToTrain } from "../graph.ts";
import { oneHot, randomLabels } from "../input.ts";
import { dialectOf, type Jax, type JaxArray, openJax } from "../jax_js.ts";

export const open: Open = async (job, { shape, data }, host) => {
  const { options, optimizer } = trainingOf(job);
  const { lr, momentum, weightDecay } = optimizer;
  const jax = await openJax(host);
  const { numpy, nn } = jax;
  const graph = traceToTrain(job);
  checkOperators(graph, dialectOf(jax));
  const params = await loadParams(graph, await host.openFile(job.weights), ({ role, shape, data }) => ({
    role,
    array: numpy.array(data, { shape }),
    shape,
  }));
  const idsOf = (wanted: string) => [...params].flatMap(([id, { role }]) => (role === wanted ? [id] : []));
  const [trained, statistics] = [idsOf("trained"), idsOf("statistic")];
  const arraysOf = (ids: readonly number[]) => ids.map((id) => params.get(id)?.array as JaxArray);

  /** The loss of a batch, and the statistics as it leaves them. */
  function lossOf(
    weights: JaxArray[],
    running: JaxArray[],
    x: JaxArray,
    wanted: JaxArray,
  ): [loss: JaxArray, running: JaxArray[]] {
    const moved = new Map<JaxArray, JaxArray>();
    const arrays = new Map([
      ...trained.map((id, i) => [id, weights[i]] as const),
      ...statistics.map((id, i) => [id, running[i]] as const),
    ]);
    const logits = evaluate(graph, x, arrays, trainingDialectOf(jax, moved));
    const loss = numpy.mean(numpy.sum(nn.logSoftmax(logits, -1).mul(wanted), [-1])).mul(-1);
    return [loss, running.map((each) => moved.get(each) ?? each)];
  }

  const differentiated = jax.valueAndGrad(lossOf, { hasAux: true });
  const step = jax.jit(
    (weights: JaxArray[], momenta: JaxArray[], running: JaxArray[], x: JaxArray, wanted: JaxArray) => {
      const refs = weights.map(({ ref }) => ref);
      const [[loss, moved], gradients] = differentiated(refs, running, x, wanted);
      const changed = momenta.map((m, i) => m.mul(momentum).add(gradients[i]).add(weights[i].ref.mul(weightDecay)));
      const updated = weights.map((w, i) => w.sub(changed[i].ref.mul(lr)));
      return [loss, updated, changed, moved] as const;
    },
  );

  let weights = arraysOf(trained);
  let running = arraysOf(statistics);
  let momenta = trained.map((id) => {
    const { shape } = params.get(id) as { readonly shape: readonly number[] };
    return numpy.array(new Float32Array(sizeOf(shape)), { shape });
  });
  const labels = oneHot(randomLabels(shape[0], options.numClasses), options.numClasses);
  return async () => {
    const x = numpy.array(data, { shape });
    const wanted = numpy.array(labels, { shape: [shape[0], options.numClasses] });
    let loss: JaxArray;
    [loss, weights, momenta, running] = step(weights, momenta, running, x, wanted);
    return host.readBack(loss.data(), job.software);
  };
};

/** Batch norms take the statistics of the batch; where these move the running ones to is put in `moved`. */
function trainingDialectOf(jax: Jax, moved: Map<JaxArray, JaxArray>): Dialect<JaxArray> {
  const { numpy } = jax;
  const dialect = dialectOf(jax);

  const move = (running: JaxArray, value: JaxArray): void => {
    moved.set(running, running.ref.mul(1 - RUNNING).add(value.mul(RUNNING)));
  };

  const batchnorm: Dialect<JaxArray>["operators"][string] = (inputs, call) => {
    const { x } = inputs;
    const dims = [...x.shape.keys()].filter((d) => d !== 1);
    const mean = numpy.mean(x.ref, dims);
    const variance = numpy.var_(x.ref, dims, { keepdims: false });
    const count = sizeOf(x.shape) / x.shape[1];
    move(inputs.mean, mean.ref);
    move(inputs.variance, variance.ref.mul(count / (count - 1)));
    return dialect.operators.batchnorm({ ...inputs, mean, variance }, call);
  };

  return { ...dialect, operators: { ...dialect.operators, batchnorm } };
}
