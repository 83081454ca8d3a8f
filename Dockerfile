# The two commands in a container:
#
#     docker build -t dxbench .                                # for CPUs
#     docker build -t dxbench --build-arg TORCH=cu128 .        # for CUDA 12.8; --build-arg PYTHON=3.12 is another Python
#     docker run --rm dxbench                                  # make demo; with CUDA: docker run --rm --gpus all dxbench
#     docker run --rm dxbench make test
#     docker run --rm -v "$PWD/runs:/dxbench/runs" dxbench dxbench run --task digits --method dxmi
#
# TORCH is a backend that uv knows: cpu, or cu and the digits of a CUDA version, whose files uv takes from PyTorch's own
# index. An empty one takes torch from the index of all other packages, such as a mirror where no other is in reach.
ARG PYTHON=3.11
FROM python:${PYTHON}-slim-bookworm

ARG TORCH=cpu
ENV UV_TORCH_BACKEND=${TORCH} \
    PATH=/dxbench/.venv/bin:${PATH}

# git, so that records name the commit that they are measured from.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 dxbench \
    && install --directory --owner=dxbench --group=dxbench /dxbench

USER dxbench
WORKDIR /dxbench
COPY --chown=dxbench:dxbench . .
RUN make .venv/.installed

CMD ["make", "demo"]
