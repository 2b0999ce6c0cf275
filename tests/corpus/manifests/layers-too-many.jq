.layers = [range(0; 200) as $i | .layers[0]]
