"""The backend "cuda": fused kernels in Numba's CUDA Python. The road of a program through its rooms:

calls, printer   launches become texts of kernels, one by one (writer.py)
compiler         texts become PTX and cubins, which are kept
engine           the plan becomes one graph on a device, with a place for everything
simulator        runs the same texts, on a device that is none
"""
